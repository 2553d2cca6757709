"""Which generations of an id were used, beyond the history of what was deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "used_generations",
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("instance_id", sa.Text(), nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("platform", "instance_id", name="pk_used_generations"),
    )
    # Brokers of the former release prune the history without looking here, until the last of them has stopped.
    op.execute(
        "INSERT INTO used_generations (platform, instance_id, last) "
        "SELECT platform, instance_id, max(generation) FROM history WHERE kind = 'instance' "
        "GROUP BY platform, instance_id"
    )
