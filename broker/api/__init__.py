"""The HTTP edge: the words of the Open Service Broker API, version 2.17. It decides nothing."""
