"""The trace that an operation goes on with, whichever process carries it out."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("operations", sa.Column("trace", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("operations", "trace")
