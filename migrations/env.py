"""Run by alembic; the connection, and with it the transaction, is handed in by `broker.store.migrations`."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
context.run_migrations()
