"""One function for each thing a platform can ask; each is one transaction, with its audit row in it."""
