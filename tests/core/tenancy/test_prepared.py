"""Statements prepared once per connection: what keeps them, what renews them, what is never prepared."""

from __future__ import annotations

import psycopg
import pytest
from django.db import DatabaseError, ProgrammingError, connection, transaction

from core.identity.models import Company
from core.kernel.transactions import retried
from core.tenancy.context import system_context
from core.tenancy.postgresql.prepared import LONG_TEXT, MANY_ELEMENTS, MAX_STATEMENTS, PremiseFailed
from tests.worlds import World


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

    def test_travel_together_and_see_what_those_before_them_wrote(self):
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL ROLE NONE")
            cursor.execute("CREATE TEMPORARY TABLE written (a int)")
            cursor.execute("GRANT ALL ON written TO PUBLIC")
        writing = [("INSERT INTO written VALUES (%s)", [number], True) for number in (1, 2)]

        assert connection.fetch_prepared("SELECT sum(a) FROM written", None, before=writing) == [(3,)]

    def test_do_not_run_behind_one_that_failed(self):
        failing = [("SELECT 1 / %s::int", [0], True)]
        with pytest.raises(DatabaseError, match="division"), transaction.atomic():
            connection.fetch_prepared("SELECT set_config('app.context_id', '7', false)", None, before=failing)

        assert connection.fetch_prepared("SELECT current_setting('app.context_id')", None) != [("7",)]

    def test_outlive_a_rollback(self):
        with pytest.raises(DatabaseError), transaction.atomic():
            _prepare_and_fail()

        assert connection.fetch_prepared("SELECT %s::int AS kept", [2]) == [(2,)]
        assert _prepared().count("SELECT $1::int AS kept") == 1

    def test_with_much_to_do_are_planned_for_their_values(self):
        connection.fetch_prepared("SELECT cardinality(%s::int[]) AS many", [[1] * (MANY_ELEMENTS + 1)])
        connection.fetch_prepared("SELECT length(%s::text) AS long", ["x" * (LONG_TEXT + 1)])
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

    def test_say_what_failed_as_django_does(self):
        with pytest.raises(DatabaseError) as caught, transaction.atomic():
            connection.fetch_prepared("SELECT * FROM no_such_table", None)

        assert isinstance(caught.value.__cause__, psycopg.errors.UndefinedTable)


class TestPremises:
    @pytest.fixture
    def forgotten(self) -> list[str]:
        return []

    def assume(self, forgotten: list[str], *rows: tuple[int]) -> None:
        connection.assume("SELECT %s::int AS premise", [1], list(rows), lambda: forgotten.append("premise"))

    def test_that_hold_are_not_noticed(self, forgotten, django_assert_num_queries):
        self.assume(forgotten, (1,))
        with django_assert_num_queries(2):
            assert connection.fetch_prepared("SELECT 7", None) == [(7,)]
        with django_assert_num_queries(1):
            connection.fetch_prepared("SELECT 7", None)
            connection.settle()
        assert forgotten == []

    @pytest.mark.parametrize("rows", [[(2,)], [], [(1,), (1,)]])
    def test_that_fail_stop_the_next_statement(self, forgotten, rows):
        new = f"SELECT 7 AS behind_{len(rows)}"
        self.assume(forgotten, *rows)
        with pytest.raises(PremiseFailed):
            connection.fetch_prepared(new, None)
        assert forgotten == ["premise"]
        assert connection.fetch_prepared(new, None) == [(7,)]
        assert _prepared().count(new) == 1

    def test_stop_statements_of_cursors_too(self, forgotten):
        self.assume(forgotten, (2,))
        with pytest.raises(PremiseFailed), connection.cursor() as cursor:
            cursor.execute("SELECT 7")
        assert forgotten == ["premise"]

    def test_say_more_than_the_error_of_what_followed_from_them(self, forgotten):
        self.assume(forgotten, (2,))
        with pytest.raises(PremiseFailed), transaction.atomic():
            connection.fetch_prepared("SELECT 1 / 0", None)

    def test_are_looked_at_by_settling(self, forgotten):
        self.assume(forgotten, (2,))
        with pytest.raises(PremiseFailed):
            connection.settle()

    def test_are_looked_at_although_a_statement_could_not_be_sent(self, forgotten):
        self.assume(forgotten, (2,))
        with pytest.raises(DatabaseError):
            connection.fetch_prepared("SELECT %s", [object()])
        with pytest.raises(PremiseFailed):
            connection.settle()

    def test_are_looked_at_in_their_own_context(self, forgotten, acme: World):
        role = "SELECT current_user::text"
        connection.assume(role, None, [("crm_platform",)], lambda: forgotten.append("premise"))
        with acme.acting():
            assert connection.fetch_prepared(role, None) == [("crm_app",)]
        assert forgotten == []


@pytest.mark.django_db(transaction=True)
class TestLastStatement:
    def seen_by_others(self) -> bool:
        with psycopg.connect(connection.connection.info.dsn, autocommit=True) as other:
            [(count,)] = other.execute("SELECT count(*) FROM core_company WHERE slug = 'last'").fetchall()
        return count == 1

    def create(self) -> None:
        Company.objects.create(name="Last", slug="last")

    def last(self) -> list[tuple[int]]:
        return connection.fetch_prepared("SELECT 7", None, last=True)

    def test_commits_in_its_round_trip(self):
        def work() -> None:
            self.create()
            assert not self.seen_by_others()
            assert self.last() == [(7,)]
            assert self.seen_by_others()

        retried(work)

    def test_leaves_what_waits_for_the_commit_for_the_end(self):
        done = []

        def work() -> None:
            transaction.on_commit(lambda: done.append("after"))
            self.last()
            done.append("inside")

        retried(work)
        assert done == ["inside", "after"]

    def test_does_not_commit_a_larger_transaction(self):
        def work() -> None:
            self.create()
            self.last()

        with transaction.atomic():
            retried(work)
            transaction.set_rollback(True)
        assert not self.seen_by_others()

    def test_does_not_commit_out_of_a_savepoint(self):
        def work() -> None:
            with transaction.atomic():
                self.create()
                self.last()
            assert not self.seen_by_others()

        retried(work)
        assert self.seen_by_others()

    def test_lets_none_come_behind_it(self):
        with pytest.raises(ProgrammingError, match="behind the last"):
            retried(lambda: [self.last(), self.last()])
        assert retried(self.last) == [(7,)]

    def test_that_fails_commits_nothing(self):
        def work() -> None:
            self.create()
            connection.fetch_prepared("SELECT 1 / 0", None, last=True)

        with pytest.raises(DatabaseError, match="division"):
            retried(work)
        assert not self.seen_by_others()


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
