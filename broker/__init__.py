"""An Open Service Broker API server for Azure."""
