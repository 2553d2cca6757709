"""How to ask Azure; knows nothing of service brokers."""
