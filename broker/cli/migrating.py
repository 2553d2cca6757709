from broker.cli.failures import told_in_one_line
from broker.settings import read_database_settings


def migrate() -> None:
    """Bring the database's tables to this release."""
    from broker.store import migrations

    url = read_database_settings().database_url.get_secret_value()
    with told_in_one_line():
        before = migrations.current(url)
        migrations.upgrade(url)
        after = migrations.current(url)
    print(f"The database is at revision {after}" + (", as before." if before == after else "."))
