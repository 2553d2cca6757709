"""The first tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

UTC_TIME = sa.DateTime(timezone=True).with_variant(sa.String(26), "sqlite")
NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
DOCUMENT_OURS = sa.JSON().with_variant(postgresql.JSONB, "postgresql")
DOCUMENT_SENT = sa.JSON()


def upgrade() -> None:
    op.create_table(
        "arm_budgets",
        sa.Column("subscription", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("tokens", sa.Float(), nullable=False),
        sa.Column("updated_at", UTC_TIME, nullable=False),
        sa.Column("blocked_until", UTC_TIME, nullable=True),
        sa.PrimaryKeyConstraint("subscription", "principal", "region", "kind", name="pk_arm_budgets"),
    )
    op.create_table(
        "audit",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("at", UTC_TIME, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("originating_identity", sa.Text(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_audit"),
    )
    op.create_index("ix_audit_at", "audit", ["at"], unique=False)
    op.create_table(
        "catalog_revisions",
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("document", DOCUMENT_SENT, nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("published_at", UTC_TIME, nullable=False),
        sa.PrimaryKeyConstraint("revision", name="pk_catalog_revisions"),
    )
    op.create_index("ix_catalog_revisions_digest", "catalog_revisions", ["digest"], unique=False)
    op.create_table(
        "external_resources",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("instance_key", sa.Uuid(), nullable=False),
        sa.Column("binding_key", sa.Uuid(), nullable=True),
        sa.Column("resource_id", sa.Text(), nullable=False),
        sa.Column("api_version", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("made_by_us", sa.Boolean(), nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.Column("gone_at", UTC_TIME, nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_external_resources"),
        sa.UniqueConstraint(
            "instance_key", "resource_id", name="uq_external_resources_instance_key_resource_id"
        ),
    )
    op.create_index("ix_external_resources_binding_key", "external_resources", ["binding_key"], unique=False)
    op.create_table(
        "history",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Uuid(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("instance_id", sa.Text(), nullable=False),
        sa.Column("binding_id", sa.Text(), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("document", DOCUMENT_OURS, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.Column("removed_at", UTC_TIME, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_history"),
    )
    op.create_index("ix_history_platform_instance_id", "history", ["platform", "instance_id"], unique=False)
    op.create_index("ix_history_removed_at", "history", ["removed_at"], unique=False)
    op.create_table(
        "operation_events",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("operation_id", sa.Uuid(), nullable=False),
        sa.Column("at", UTC_TIME, nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_operation_events"),
    )
    op.create_index("ix_operation_events_operation_id", "operation_events", ["operation_id"], unique=False)
    op.create_table(
        "operations",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("provisioner", sa.Text(), nullable=False),
        sa.Column("handler_version", sa.Integer(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("instance_id", sa.Text(), nullable=False),
        sa.Column("binding_id", sa.Text(), nullable=True),
        sa.Column("instance_key", sa.Uuid(), nullable=False),
        sa.Column("binding_key", sa.Uuid(), nullable=True),
        sa.Column("service_plan_id", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), server_default="", nullable=False),
        sa.Column("step_since", UTC_TIME, nullable=True),
        sa.Column("inputs", DOCUMENT_OURS, nullable=False),
        sa.Column("state", DOCUMENT_OURS, nullable=False),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("again", sa.Boolean(), nullable=False),
        sa.Column("cancel_requested_at", UTC_TIME, nullable=True),
        sa.Column("subscription", sa.Text(), nullable=True),
        sa.Column("request_identity", sa.Text(), nullable=True),
        sa.Column("instance_usable", sa.Boolean(), nullable=True),
        sa.Column("update_repeatable", sa.Boolean(), nullable=True),
        sa.Column("due_at", UTC_TIME, nullable=False),
        sa.Column("deadline_at", UTC_TIME, nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("claims", sa.Integer(), nullable=False),
        sa.Column("errors", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("cost_reads", sa.Integer(), server_default="2", nullable=False),
        sa.Column("cost_writes", sa.Integer(), server_default="1", nullable=False),
        sa.Column("cost_deletes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.Column("finished_at", UTC_TIME, nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_operations"),
        sa.UniqueConstraint("id", name="uq_operations_id"),
        postgresql_with={
            "fillfactor": "70",
            "autovacuum_vacuum_scale_factor": "0.02",
            "autovacuum_vacuum_threshold": "200",
            "autovacuum_vacuum_cost_delay": "0",
        },
    )
    op.create_index(
        "ix_operations_due",
        "operations",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("status = 'in progress'"),
        sqlite_where=sa.text("status = 'in progress'"),
    )
    op.create_index(
        "ix_operations_last", "operations", ["platform", "instance_id", "binding_id", "number"], unique=False
    )
    op.create_index(
        "ix_operations_running_of_instance",
        "operations",
        ["instance_key"],
        unique=False,
        postgresql_where=sa.text("status = 'in progress'"),
        sqlite_where=sa.text("status = 'in progress'"),
    )
    op.create_index(
        "uq_operations_one_per_binding",
        "operations",
        ["binding_key"],
        unique=True,
        postgresql_where=sa.text("status = 'in progress' AND binding_key IS NOT NULL"),
        sqlite_where=sa.text("status = 'in progress' AND binding_key IS NOT NULL"),
    )
    op.create_index(
        "uq_operations_one_per_instance",
        "operations",
        ["instance_key"],
        unique=True,
        postgresql_where=sa.text("status = 'in progress' AND binding_key IS NULL"),
        sqlite_where=sa.text("status = 'in progress' AND binding_key IS NULL"),
    )
    op.create_table(
        "service_instances",
        sa.Column("key", sa.Uuid(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("instance_id", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("service_offering_id", sa.Text(), nullable=False),
        sa.Column("provisioner", sa.Text(), nullable=False),
        sa.Column("applied_plan_id", sa.Text(), nullable=True),
        sa.Column("applied_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("asked_plan_id", sa.Text(), nullable=True),
        sa.Column("asked_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("platform_kind", sa.Text(), nullable=True),
        sa.Column("cluster", sa.Text(), nullable=True),
        sa.Column("namespace", sa.Text(), nullable=True),
        sa.Column("organization", sa.Text(), nullable=True),
        sa.Column("space", sa.Text(), nullable=True),
        sa.Column("instance_name", sa.Text(), nullable=True),
        sa.Column("context", DOCUMENT_SENT, nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("alias", sa.Text(), nullable=True),
        sa.Column("parent_key", sa.Uuid(), nullable=True),
        sa.Column("subscription", sa.Text(), nullable=True),
        sa.Column("region", sa.Text(), nullable=True),
        sa.Column("resource_group", sa.Text(), nullable=True),
        sa.Column("record", DOCUMENT_OURS, nullable=False),
        sa.Column("dashboard_url", sa.Text(), nullable=True),
        sa.Column("catalog_revision", sa.Integer(), nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["parent_key"],
            ["service_instances.key"],
            name="fk_service_instances_parent_key_service_instances",
        ),
        sa.PrimaryKeyConstraint("key", name="pk_service_instances"),
        sa.UniqueConstraint("platform", "instance_id", name="uq_service_instances_platform_instance_id"),
        sa.UniqueConstraint("platform", "scope", "alias", name="uq_service_instances_platform_scope_alias"),
    )
    op.create_index("ix_service_instances_parent_key", "service_instances", ["parent_key"], unique=False)
    op.create_table(
        "service_bindings",
        sa.Column("key", sa.Uuid(), nullable=False),
        sa.Column("instance_key", sa.Uuid(), nullable=False),
        sa.Column("binding_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("service_plan_id", sa.Text(), nullable=False),
        sa.Column("asked_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("credentials_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("endpoints", DOCUMENT_OURS, nullable=False),
        sa.Column("bind_resource", DOCUMENT_SENT, nullable=False),
        sa.Column("context", DOCUMENT_SENT, nullable=False),
        sa.Column("predecessor_id", sa.Text(), nullable=True),
        sa.Column("record", DOCUMENT_OURS, nullable=False),
        sa.Column("expires_at", UTC_TIME, nullable=True),
        sa.Column("renew_before", UTC_TIME, nullable=True),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_key"],
            ["service_instances.key"],
            name="fk_service_bindings_instance_key_service_instances",
        ),
        sa.PrimaryKeyConstraint("key", name="pk_service_bindings"),
        sa.UniqueConstraint("instance_key", "binding_id", name="uq_service_bindings_instance_key_binding_id"),
    )
