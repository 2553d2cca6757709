"""Foreseen reasons why a command cannot do its work: one line for the operator instead of a traceback."""

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def told_in_one_line() -> Iterator[None]:
    """End the command with status 1 and the reason's own text."""
    from broker.azure.credentials import AzureSettingsError
    from broker.catalog.faults import CatalogRefused
    from broker.demo.processes import ProcessFailed
    from broker.errors import StoreUnavailable
    from broker.settings import PREFIX
    from broker.store.errors import (
        DatabaseInUse,
        SchemaOutdated,
        SealingKeysMissing,
        TablesInUse,
        UnsupportedDatabase,
    )

    try:
        yield
    except AzureSettingsError as wrong:
        print(f"{PREFIX}{wrong.setting.upper()}{str(wrong).removeprefix(wrong.setting)}", file=sys.stderr)
        sys.exit(1)
    except (
        CatalogRefused,
        DatabaseInUse,
        ProcessFailed,
        SchemaOutdated,
        SealingKeysMissing,
        StoreUnavailable,
        TablesInUse,
        UnsupportedDatabase,
    ) as reason:
        print(reason, file=sys.stderr)
        sys.exit(1)
