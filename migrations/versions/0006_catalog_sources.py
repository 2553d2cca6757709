"""The files that catalogs are merged from, which of them each revision had, and what starts have proposed."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

UTC_TIME = sa.DateTime(timezone=True).with_variant(sa.String(26), "sqlite")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
DOCUMENT_OURS = sa.JSON().with_variant(postgresql.JSONB, "postgresql")


def upgrade() -> None:
    # Revisions of a release that knew of no sources have none.
    op.add_column("catalog_revisions", sa.Column("sources", DOCUMENT_OURS, nullable=True))
    op.add_column("catalog_revisions", sa.Column("offerings", sa.Integer(), nullable=True))
    op.add_column("catalog_revisions", sa.Column("plans", sa.Integer(), nullable=True))
    op.create_table(
        "catalog_files",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("files", sa.JSON(), nullable=False),
        sa.Column("added_at", UTC_TIME, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_catalog_files"),
    )
    op.create_table(
        "catalog_file_sets",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("accepted", sa.Boolean(), nullable=False),
        sa.Column("proposed_at", UTC_TIME, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_catalog_file_sets"),
        sa.UniqueConstraint("digest", name="uq_catalog_file_sets_digest"),
    )
