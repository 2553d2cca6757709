"""How an owner of a subscription finds out whether the broker works there: what is missing, and one whole run."""
