"""Keys of Azure's in credentials: when they were last compared, and since when Azure's are others."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

UTC_TIME = sa.DateTime(timezone=True).with_variant(sa.String(26), "sqlite")


def upgrade() -> None:
    op.add_column("service_bindings", sa.Column("keys_checked_at", UTC_TIME, nullable=True))
    op.add_column("service_bindings", sa.Column("stale_since", UTC_TIME, nullable=True))


def downgrade() -> None:
    op.drop_column("service_bindings", "stale_since")
    op.drop_column("service_bindings", "keys_checked_at")
