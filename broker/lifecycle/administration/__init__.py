"""What an operator can see and do; what changes anything is one transaction, with its audit row in it."""
