"""What the broker is for, shown from outside: its own public API, a simulated Azure, and independent witnesses."""
