"""What the last look at everything in Azure has found, and since when an instance is missing there."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

UTC_TIME = sa.DateTime(timezone=True).with_variant(sa.String(26), "sqlite")
DOCUMENT_OURS = sa.JSON().with_variant(postgresql.JSONB, "postgresql")


def upgrade() -> None:
    op.create_table(
        "inventories",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("due_at", UTC_TIME, nullable=True),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("started_at", UTC_TIME, nullable=True),
        sa.Column("finished_at", UTC_TIME, nullable=True),
        sa.Column("trouble", sa.Text(), nullable=True),
        sa.Column("report", DOCUMENT_OURS, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_inventories"),
    )
    op.add_column("service_instances", sa.Column("missing_since", UTC_TIME, nullable=True))
