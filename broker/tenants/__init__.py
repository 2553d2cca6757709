"""Tenant rules on disk: reading, checking, and following the file."""
