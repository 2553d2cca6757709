"""What a service instance has taken over instead of making it."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("service_instances", sa.Column("adopts", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("service_instances", "adopts")
