"""Operations as operators look through them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Row, and_, or_

from broker.domain.operations import OperationStatus
from broker.domain.summaries import (
    CLAIMS_OF_THE_STUCK,
    ERRORS_OF_THE_STUCK,
    LATE,
    STILL,
    OperationSummary,
    stuck_because,
)

_SHOWN = tuple(name for name in OperationSummary.__dataclass_fields__ if name != "stuck")


def is_stuck(operation: FromClause, now: datetime) -> ColumnElement[bool]:
    """Tell whether an operation does not get on; see `stuck_because`."""
    column = operation.c
    return and_(
        column.status == OperationStatus.IN_PROGRESS.value,
        or_(
            column.deadline_at < now,
            column.claims >= CLAIMS_OF_THE_STUCK,
            column.due_at < now - LATE,
            column.errors >= ERRORS_OF_THE_STUCK,
            column.step_since < now - STILL,
        ),
    )


def columns_of(operation: FromClause, prefix: str = "") -> list[ColumnElement[Any]]:
    """Return the columns of an `OperationSummary`, under names with *prefix*."""
    return [operation.c[name].label(prefix + name) for name in _SHOWN]


def summary_of(row: Row[Any], now: datetime, prefix: str = "") -> OperationSummary:
    """Read what `columns_of` has selected."""
    values = row._mapping  # noqa: SLF001 - SQLAlchemy's public name for it
    found = OperationSummary(**{name: values[prefix + name] for name in _SHOWN})
    return replace(found, stuck=stuck_because(found, now))
