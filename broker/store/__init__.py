"""What the broker remembers: the only importer of SQLAlchemy, and the only place that knows two databases."""
