import sys

from broker.cli.failures import told_in_one_line
from broker.settings import read_database_settings


def remaining() -> None:
    """Tell what this broker still answers for."""
    from broker.store.remaining import remaining as counted

    url = read_database_settings().database_url.get_secret_value()
    with told_in_one_line():
        found = counted(url)
    instances = sum(found.instances.values())
    if not instances:
        print(f"No service instance remains. Resources in Azure on record: {found.resources}.")
        return
    by_platform = ", ".join(f"{name}: {count}" for name, count in found.instances.items())
    print(
        f"Service instances that remain: {instances} ({by_platform}), with {found.resources} resources in Azure. "
        "Without the broker they go on and cost, and nobody can bind, change or delete them through it. Delete them at "
        "their platforms first; or remove the broker all the same, and keep its database and its sealing keys.",
        file=sys.stderr,
    )
    sys.exit(1)
