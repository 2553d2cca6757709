"""The tables. What may hold a secret is in a column whose name ends in `_sealed`, and nowhere else."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from broker.store.columns import NUMBER, OURS, SEALED, SENT, UUID_KEY, UtcTime

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009")
"""All revisions of `migrations/`, oldest first; a test compares. Kept here so that a start needs no alembic."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

service_instances = Table(
    "service_instances",
    metadata,
    Column("key", UUID_KEY, primary_key=True),
    Column("platform", Text, nullable=False),
    Column("instance_id", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("service_offering_id", Text, nullable=False),
    Column("provisioner", Text, nullable=False),
    Column("applied_plan_id", Text),
    Column("applied_sealed", SEALED),
    Column("asked_plan_id", Text),
    Column("asked_sealed", SEALED),
    Column("platform_kind", Text),
    Column("cluster", Text),
    Column("namespace", Text),
    Column("organization", Text),
    Column("space", Text),
    Column("instance_name", Text),
    Column("context", SENT, nullable=False),
    Column("scope", Text, nullable=False),
    Column("alias", Text),
    Column("parent_key", UUID_KEY, ForeignKey("service_instances.key"), index=True),
    Column("subscription", Text),
    Column("region", Text),
    Column("resource_group", Text),
    Column("record", OURS, nullable=False),
    Column("dashboard_url", Text),
    Column("catalog_revision", Integer, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    # What tenant rules gave it; written when it is ordered and when its plan changes, by nobody else.
    Column("terms", OURS),
    # Id, in lower case, of what it adopts; looked at under an advisory lock before another one is written.
    Column("adopts", Text),
    # Since when it was looked for in Azure in vain; written by the inventory alone.
    Column("missing_since", UtcTime),
    UniqueConstraint("platform", "instance_id"),
    UniqueConstraint("platform", "scope", "alias"),
)

service_bindings = Table(
    "service_bindings",
    metadata,
    Column("key", UUID_KEY, primary_key=True),
    Column("instance_key", UUID_KEY, ForeignKey("service_instances.key"), nullable=False),
    Column("binding_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("service_plan_id", Text, nullable=False),
    Column("asked_sealed", SEALED, nullable=False),
    Column("credentials_sealed", SEALED),
    Column("endpoints", OURS, nullable=False),
    Column("bind_resource", SENT, nullable=False),
    Column("context", SENT, nullable=False),
    Column("predecessor_id", Text),
    Column("record", OURS, nullable=False),
    Column("expires_at", UtcTime),
    Column("renew_before", UtcTime),
    Column("created_at", UtcTime, nullable=False),
    # Of credentials with keys of Azure's: when they were last read and compared, and since when they are others there.
    Column("keys_checked_at", UtcTime),
    Column("stale_since", UtcTime),
    UniqueConstraint("instance_key", "binding_id"),
)

operations = Table(
    "operations",
    metadata,
    # Counts in the order of acceptance: two operations may be accepted within one tick of the clock.
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    Column("id", UUID_KEY, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("provisioner", Text, nullable=False),
    Column("handler_version", Integer, nullable=False),
    Column("platform", Text, nullable=False),
    Column("instance_id", Text, nullable=False),
    Column("binding_id", Text),
    # No foreign keys: the answer to a poll outlives the instance and the binding.
    Column("instance_key", UUID_KEY, nullable=False),
    Column("binding_key", UUID_KEY),
    Column("service_plan_id", Text),
    Column("status", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("step", Text, nullable=False, server_default=""),
    Column("step_since", UtcTime),
    Column("inputs", OURS, nullable=False),
    Column("state", OURS, nullable=False),
    Column("failure", Text),
    Column("again", Boolean, nullable=False),
    Column("cancel_requested_at", UtcTime),
    Column("subscription", Text),
    Column("request_identity", Text),
    Column("trace", Text),
    Column("instance_usable", Boolean),
    Column("update_repeatable", Boolean),
    Column("due_at", UtcTime, nullable=False),
    Column("deadline_at", UtcTime, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("owner", Text),
    Column("claims", Integer, nullable=False),
    Column("errors", Integer, nullable=False),
    Column("last_error", Text),
    Column("cost_reads", Integer, nullable=False, server_default="2"),
    Column("cost_writes", Integer, nullable=False, server_default="1"),
    Column("cost_deletes", Integer, nullable=False, server_default="0"),
    Column("created_at", UtcTime, nullable=False),
    Column("finished_at", UtcTime),
    Index(
        "uq_operations_one_per_instance",
        "instance_key",
        unique=True,
        postgresql_where=text("status = 'in progress' AND binding_key IS NULL"),
        sqlite_where=text("status = 'in progress' AND binding_key IS NULL"),
    ),
    Index(
        "uq_operations_one_per_binding",
        "binding_key",
        unique=True,
        postgresql_where=text("status = 'in progress' AND binding_key IS NOT NULL"),
        sqlite_where=text("status = 'in progress' AND binding_key IS NOT NULL"),
    ),
    Index(
        "ix_operations_due",
        "due_at",
        postgresql_where=text("status = 'in progress'"),
        sqlite_where=text("status = 'in progress'"),
    ),
    Index(
        "ix_operations_running_of_instance",
        "instance_key",
        postgresql_where=text("status = 'in progress'"),
        sqlite_where=text("status = 'in progress'"),
    ),
    Index("ix_operations_last", "platform", "instance_id", "binding_id", "number"),
    # Rows are updated many times and then rest: room for that in each page, and vacuum that keeps up.
    postgresql_with={
        "fillfactor": "70",
        "autovacuum_vacuum_scale_factor": "0.02",
        "autovacuum_vacuum_threshold": "200",
        "autovacuum_vacuum_cost_delay": "0",
    },
)

operation_events = Table(
    "operation_events",
    metadata,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    Column("operation_id", UUID_KEY, nullable=False, index=True),
    Column("at", UtcTime, nullable=False),
    Column("what", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("owner", Text),
)

external_resources = Table(
    "external_resources",
    metadata,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    # No foreign key: when an operator abandons an instance, what it left in Azure stays on record.
    Column("instance_key", UUID_KEY, nullable=False),
    Column("binding_key", UUID_KEY, index=True),
    Column("resource_id", Text, nullable=False),
    Column("api_version", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("made_by_us", Boolean, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("gone_at", UtcTime),
    UniqueConstraint("instance_key", "resource_id"),
)

inventories = Table(
    "inventories",
    metadata,
    Column("name", Text, primary_key=True),
    # As in `operations`: the timer while nobody takes stock, the end of the lease while somebody does.
    Column("due_at", UtcTime),
    Column("fence", BigInteger, nullable=False),
    Column("owner", Text),
    Column("started_at", UtcTime),
    Column("finished_at", UtcTime),
    Column("trouble", Text),
    Column("report", OURS, nullable=False),
)

catalog_revisions = Table(
    "catalog_revisions",
    metadata,
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False, index=True),
    Column("document", SENT, nullable=False),
    Column("author", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("published_at", UtcTime, nullable=False),
    # What it was merged from; unknown of what a release published that knew of no sources.
    Column("sources", OURS),
    Column("offerings", Integer),
    Column("plans", Integer),
)

catalog_files = Table(
    "catalog_files",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("files", SENT, nullable=False),
    Column("added_at", UtcTime, nullable=False),
)

catalog_file_sets = Table(
    "catalog_file_sets",
    metadata,
    # The highest one is what was proposed last.
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    Column("digest", Text, nullable=False, unique=True),
    Column("accepted", Boolean, nullable=False),
    Column("proposed_at", UtcTime, nullable=False),
)

catalog_ids = Table(
    "catalog_ids",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("service_offering_id", Text, nullable=False),
    # The newest revision that it stood in; the newest of all tells how far the revisions were looked through.
    Column("last_revision", Integer, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    Column("at", UtcTime, nullable=False, index=True),
    Column("actor", Text, nullable=False),
    Column("originating_identity", Text),
    Column("action", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("reason", Text),
)

history = Table(
    "history",
    metadata,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("key", UUID_KEY, nullable=False),
    Column("platform", Text, nullable=False),
    Column("instance_id", Text, nullable=False),
    Column("binding_id", Text),
    Column("generation", Integer, nullable=False),
    Column("document", OURS, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("removed_at", UtcTime, nullable=False, index=True),
    Index(None, "platform", "instance_id"),
)

used_generations = Table(
    "used_generations",
    metadata,
    # Never pruned: a name of Azure's may be held back, or be an abandoned resource's, for longer than any history.
    Column("platform", Text, primary_key=True),
    Column("instance_id", Text, primary_key=True),
    Column("last", Integer, nullable=False),
)

arm_budgets = Table(
    "arm_budgets",
    metadata,
    Column("subscription", Text, primary_key=True),
    Column("principal", Text, primary_key=True),
    Column("region", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("tokens", Float, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Column("blocked_until", UtcTime),
)
