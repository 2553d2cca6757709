"""The operation engine: long work that is safe to crash anywhere."""
