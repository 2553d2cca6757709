"""`python -m tests.service_catalog`: how late Service Catalog notices what is done, as tables."""

from datetime import timedelta

from tests.service_catalog.machine import Flags
from tests.service_catalog.noticing import table
from tests.service_catalog.readying import readied

NUMBER = 8


def main() -> None:
    """Print both tables; the second takes a minute."""
    print(table())
    print()
    print(
        "| longest pause | Azure ready to the broker's `succeeded`: p50, longest | to Ready: p50, longest |"
    )
    print("|---|---|---|")
    for name, limit in (("20 min (default)", 1200), ("30 s", 30), ("10 s", 10)):
        flags = Flags(operation_polling_maximum_backoff=timedelta(seconds=limit))
        print(readied(flags, NUMBER).row(name))


if __name__ == "__main__":
    main()
