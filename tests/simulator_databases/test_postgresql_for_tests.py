import psycopg


def test_each_fresh_database_is_empty_and_apart_from_the_others(fresh_database):
    one, other = fresh_database(), fresh_database()

    with psycopg.connect(one) as connection:
        connection.execute("CREATE TABLE notes (id int)")

    with psycopg.connect(other) as connection:
        found = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert found == (0,)


def test_a_fresh_database_may_be_a_copy_of_a_prepared_one(fresh_database):
    prepared = fresh_database()
    with psycopg.connect(prepared) as connection:
        connection.execute("CREATE TABLE notes (id int)")

    copy = fresh_database(template=prepared.rsplit("/", 1)[1])

    with psycopg.connect(copy) as connection:
        assert connection.execute("SELECT count(*) FROM notes").fetchone() == (0,)
