"""Statements prepared once per connection: what keeps them, what renews them, what is never prepared."""

from __future__ import annotations

import os
from contextlib import ExitStack

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction

from core.database.prepared import MANY_BYTES, MANY_ELEMENTS, MAX_BYTES, MAX_STATEMENTS, Statement
from core.kernel.transactions import retried
from core.tenancy.context import system_context


def _prepared() -> list[str]:
    return [row[0] for row in connection.fetch_prepared("SELECT statement FROM pg_prepared_statements", None)]


def _prepare_and_fail() -> None:
    connection.fetch_prepared("SELECT %s::int AS kept", [1])
    connection.fetch_prepared("SELECT 1 / %s::int", [0])


@pytest.fixture(autouse=True)
def _in_a_transaction(db):
    with system_context("a test"):
        yield


class TestPreparedStatements:
    def test_take_parameters_by_place_and_by_name(self):
        by_place = connection.fetch_prepared("SELECT %s::int - %s::int, '%%'", [5, 3])
        by_name = connection.fetch_prepared("SELECT %(a)s::int, %(b)s::int, %(a)s::int", {"b": 2, "a": 1})

        assert (by_place, by_name) == ([(2, "%")], [(1, 2, 1)])

    def test_are_prepared_once(self):
        for number in range(3):
            connection.fetch_prepared("SELECT %s::int AS once", [number])

        assert _prepared().count("SELECT $1::int AS once") == 1

    def test_are_few_when_they_are_long(self):
        """The server keeps a plan of each, which grows with its text."""
        long = f"SELECT /* {'long ' * 4_000} */"
        for number in range(60):
            connection.fetch_prepared(f"{long} {number}", None)

        kept = [len(text) for text in _prepared()]
        assert 0 < sum(kept) <= MAX_BYTES + len(long) + 1_000
        assert connection.fetch_prepared(f"{long} 59", None) == [(59,)]

    def test_travel_together_and_see_what_those_before_them_wrote(self):
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL ROLE NONE")
            cursor.execute("CREATE TEMPORARY TABLE written (a int)")
            cursor.execute("GRANT ALL ON written TO PUBLIC")
        rows = connection.run_statements(
            Statement("INSERT INTO written VALUES (%s)", [1]),
            Statement("INSERT INTO written VALUES (%s)", [2]),
            Statement("SELECT sum(a) FROM written"),
        )

        assert rows == [(3,)]

    def test_do_not_run_behind_one_that_failed(self):
        def fail() -> None:
            connection.run_statements(
                Statement("SELECT 1 / %s::int", [0]),
                Statement("SELECT set_config('app.context_id', '7', false)"),
            )

        with pytest.raises(DatabaseError, match="division"), transaction.atomic():
            fail()

        assert connection.fetch_prepared("SELECT current_setting('app.context_id')", None) != [("7",)]

    def test_outlive_a_rollback(self):
        with pytest.raises(DatabaseError), transaction.atomic():
            _prepare_and_fail()

        assert connection.fetch_prepared("SELECT %s::int AS kept", [2]) == [(2,)]
        assert _prepared().count("SELECT $1::int AS kept") == 1

    def test_with_much_to_do_are_planned_for_their_values(self):
        connection.fetch_prepared("SELECT cardinality(%s::int[]) AS many", [[1] * (MANY_ELEMENTS + 1)])
        connection.fetch_prepared("SELECT length(%s::text) AS long", ["x" * (MANY_BYTES + 1)])
        connection.fetch_prepared("SELECT %s::int AS asked", [1], prepare=False)

        assert not {"many", "long", "asked"} & {text.rsplit(" ", 1)[-1] for text in _prepared()}

    def test_are_prepared_again_when_the_table_has_changed(self):
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL ROLE NONE")
            cursor.execute("CREATE TEMPORARY TABLE changing AS SELECT 1 AS a")
            cursor.execute("GRANT SELECT ON changing TO PUBLIC")
            connection.fetch_prepared("SELECT * FROM changing WHERE a = %s", [1])
            cursor.execute("ALTER TABLE changing ADD b int")
        with pytest.raises(DatabaseError), transaction.atomic():
            connection.fetch_prepared("SELECT * FROM changing WHERE a = %s", [1])

        assert connection.fetch_prepared("SELECT * FROM changing WHERE a = %s", [1]) == [(1, None)]

    def test_make_room_for_new_ones(self):
        for number in range(MAX_STATEMENTS + 5):
            connection.fetch_prepared(f"SELECT %s::int AS column_{number}", [1])
        kept = _prepared()

        assert "SELECT $1::int AS column_0" not in kept
        assert f"SELECT $1::int AS column_{MAX_STATEMENTS + 4}" in kept
        assert len(kept) <= MAX_STATEMENTS + 2

    def test_that_fail_among_their_rows_have_none(self):
        sql = "SELECT 1 / (%s::int - number) FROM generate_series(1, 1000) AS number"
        with pytest.raises(DatabaseError, match="division"), transaction.atomic():
            connection.fetch_prepared(sql, [900])

        assert connection.fetch_prepared(sql, [1001])[-1] == (1,)

    def test_say_what_failed_as_django_does(self):
        with pytest.raises(DatabaseError) as caught, transaction.atomic():
            connection.fetch_prepared("SELECT * FROM no_such_table", None)

        assert isinstance(caught.value.__cause__, psycopg.errors.UndefinedTable)


@pytest.mark.django_db(transaction=True)
class TestLostStatement:
    """A pooler moved the connection to a server that does not know its statements."""

    def lose(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("DEALLOCATE ALL")

    def test_is_asked_again_in_a_new_transaction(self) -> None:
        attempts = []

        def work() -> list[tuple[int]]:
            attempts.append(1)
            return connection.fetch_prepared("SELECT %s::int AS lost", [7])

        with system_context("a test"):
            assert retried(work) == [(7,)]
            self.lose()
            assert retried(work) == [(7,)]
            assert len(attempts) == 3

    def test_is_the_last_that_is_kept(self) -> None:
        with system_context("a test"):
            connection.close()
            connection.fetch_prepared("SELECT %s::int AS lost", [7])
            self.lose()
            with pytest.raises(DatabaseError):
                connection.fetch_prepared("SELECT %s::int AS lost", [7])
            for _ in range(2):
                assert connection.fetch_prepared("SELECT %s::int AS lost", [7]) == [(7,)]
            assert _prepared() == []
            connection.close()


@pytest.mark.django_db(transaction=True)
class TestNothingIsKept:
    def test_where_the_setting_says_so(self, settings) -> None:
        settings.PREPARED_STATEMENTS = False
        connection.close()
        with system_context("a test"), transaction.atomic():
            assert connection.fetch_prepared("SELECT %s::int AS asked", [7]) == [(7,)]
            assert _prepared() == []
        connection.close()


@pytest.mark.django_db(transaction=True)
class TestConnection:
    def test_that_the_server_closed_is_opened_again_by_the_next_request(self):
        # A connection of its own: other tests of this process keep theirs.
        own = connection.copy()
        with system_context("a test"):
            own.ensure_connection()
            assert own.is_usable()
            with psycopg.connect(own.connection.info.dsn, autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s, 5000)", [own.connection.info.backend_pid])

            assert not own.is_usable()
            own.close()

    def test_is_usable_beside_a_thousand_open_files(self):
        with ExitStack() as files, system_context("a test"):
            for _ in range(1_100):
                files.enter_context(open(os.devnull))
            own = connection.copy()
            own.ensure_connection()
            assert own.connection.fileno() > 1_024
            assert own.is_usable()
            own.close()
