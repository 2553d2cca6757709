"""The simulator's web page: static files, which hold no data; what they show is asked of the control routes."""
