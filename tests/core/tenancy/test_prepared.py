"""Statements prepared once per connection: what keeps them, what renews them, what is never prepared."""

from __future__ import annotations

import os
from contextlib import ExitStack

import psycopg
import pytest
from django.db import (
    DatabaseError,
    IntegrityError,
    OperationalError,
    ProgrammingError,
    connection,
    transaction,
)
from psycopg.pq import TransactionStatus

from core.identity.models import Company
from core.kernel.transactions import retried
from core.tenancy.context import system_context
from core.tenancy.postgresql.prepared import (
    MANY_BYTES,
    MANY_ELEMENTS,
    MAX_STATEMENTS,
    ROWS_AT_ONCE,
    PremiseFailed,
)
from tests.chaos.machine import wait_for
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
        for number in (1, 2):
            connection.start("INSERT INTO written VALUES (%s)", [number])

        assert connection.fetch_prepared("SELECT sum(a) FROM written", None) == [(3,)]

    def test_do_not_run_behind_one_that_failed(self):
        def fail() -> None:
            connection.start("SELECT 1 / %s::int", [0])
            connection.fetch_prepared("SELECT set_config('app.context_id', '7', false)", None)

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

    @pytest.mark.parametrize("many", [0, 1, ROWS_AT_ONCE, ROWS_AT_ONCE * 3 + 1])
    @pytest.mark.parametrize("assumed", [False, True])
    def test_are_read_in_portions(self, many, assumed):
        sizes = []

        def each(rows: list[tuple[int]]) -> list[tuple[int]]:
            sizes.append(len(rows))
            return [(number * 2,) for (number,) in rows]

        if assumed:
            connection.assume("SELECT 1", None, [(1,)], lambda: None)
        found = connection.fetch_prepared("SELECT generate_series(1, %s::int)", [many], each=each)

        assert found == [(number * 2,) for number in range(1, many + 1)]
        assert sum(sizes) == many
        assert max(sizes, default=0) <= ROWS_AT_ONCE

    def test_that_fail_among_their_rows_have_none(self):
        sql = "SELECT 1 / (%s::int - number) FROM generate_series(1, 1000) AS number"
        with pytest.raises(DatabaseError, match="division"), transaction.atomic():
            connection.fetch_prepared(sql, [900])

        assert connection.fetch_prepared(sql, [1001])[-1] == (1,)

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
class TestPremisesOnTheirWay:
    """The server is at work on a premise while nobody waits for it."""

    def assume(self) -> None:
        connection.assume("SELECT pg_advisory_xact_lock(7)::text", None, [("",)], lambda: None)

    def others_see_the_lock(self) -> bool:
        with psycopg.connect(connection.connection.info.dsn, autocommit=True) as other:
            [(count,)] = other.execute(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7 AND granted"
            ).fetchall()
        return count == 1

    def test_begin_when_they_are_told_to(self):
        with transaction.atomic():
            self.assume()
            connection.go_ahead()
            wait_for("the server begins", self.others_see_the_lock, seconds=20)
            connection.settle()
        assert not self.others_see_the_lock()

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
    def test_end_with_their_transaction(self, error):
        def work() -> None:
            self.assume()
            raise error

        connection.ensure_connection()
        server = connection.connection.info.backend_pid
        with pytest.raises(error):
            retried(work)
        assert not self.others_see_the_lock()
        assert connection.fetch_prepared("SELECT pg_backend_pid()", None) == [(server,)]

    def test_end_with_a_transaction_that_is_committed_unsettled(self):
        with transaction.atomic():
            self.assume()
        assert not self.others_see_the_lock()
        assert connection.fetch_prepared("SELECT 7", None) == [(7,)]

    def test_are_lost_with_their_connection(self):
        def work() -> None:
            self.assume()
            with psycopg.connect(connection.connection.info.dsn, autocommit=True) as other:
                other.execute(
                    "SELECT pg_terminate_backend(%s, 5000)", [connection.connection.info.backend_pid]
                )
            connection.fetch_prepared("SELECT 7", None)

        with pytest.raises(OperationalError):
            retried(work)
        connection.close_if_unusable_or_obsolete()
        assert connection.fetch_prepared("SELECT 7", None) == [(7,)]

    def test_leave_nothing_behind_when_a_savepoint_is_rolled_back(self):
        def undone() -> None:
            with transaction.atomic():
                self.assume()
                raise ValueError

        def work() -> list[tuple[int]]:
            with pytest.raises(ValueError):  # noqa: PT011 - it says nothing
                undone()
            return connection.fetch_prepared("SELECT 7", None)

        assert retried(work) == [(7,)]


@pytest.mark.django_db(transaction=True)
class TestLastStatement:
    def seen_by_others(self) -> bool:
        with psycopg.connect(connection.connection.info.dsn, autocommit=True) as other:
            [(count,)] = other.execute("SELECT count(*) FROM core_company WHERE slug = 'last'").fetchall()
        return count == 1

    def create(self) -> None:
        Company.objects.create(name="Last", slug="last")

    def last(self, writes: bool = False) -> list[tuple[int]]:
        return connection.fetch_prepared("SELECT 7", None, last=True, writes=writes)

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

    def test_that_wrote_comes_before_the_disk_has_it(self):
        def work() -> None:
            self.create()
            assert self.last(writes=True) == [(7,)]
            # The server is told, and nobody has heard of it.
            assert connection.connection.pgconn.transaction_status == TransactionStatus.ACTIVE

        retried(work)
        assert connection.connection.pgconn.transaction_status == TransactionStatus.IDLE
        assert self.seen_by_others()

    def test_whose_commit_fails_says_so_and_keeps_nothing(self):
        done = []

        def work() -> None:
            transaction.on_commit(lambda: done.append("after"))
            self.create()
            connection.fetch_prepared(
                "INSERT INTO core_membership (id, company_id, user_id, role_id, is_active, created_at, updated_at, version) "
                "SELECT uuidv7(), id, uuidv7(), uuidv7(), true, now(), now(), 1 FROM core_company WHERE slug = 'last'",
                None,
                writes=True,
                last=True,
            )
            done.append("inside")

        with system_context("a test"), pytest.raises(IntegrityError):
            retried(work)
        assert done == ["inside"]
        assert not self.seen_by_others()
        assert connection.fetch_prepared("SELECT 7", None) == [(7,)]

    def test_lets_none_come_behind_it(self):
        with pytest.raises(ProgrammingError, match="behind the last"):
            retried(lambda: [self.last(), self.last()])
        assert retried(self.last) == [(7,)]

    @pytest.mark.parametrize("writes", [False, True])
    def test_that_fails_commits_nothing(self, writes):
        def work() -> None:
            self.create()
            connection.fetch_prepared("SELECT 1 / 0", None, last=True, writes=writes)

        with pytest.raises(DatabaseError, match="division"):
            retried(work)
        assert not self.seen_by_others()


@pytest.mark.django_db(transaction=True)
class TestForeseenStatement:
    """What reads from a write goes with it, and the end of the transaction too."""

    WRITE = "UPDATE core_company SET slug = %s WHERE slug = 'old-' || %s::text AND %s RETURNING slug"
    READ = "SELECT slug, 1 / (slug IS NOT NULL)::int FROM (SELECT) one LEFT JOIN core_company ON slug = %s"

    @pytest.fixture(autouse=True)
    def _companies(self, _in_a_transaction):
        with transaction.atomic():
            for slug in ("new", "newer", "beside"):
                Company.objects.create(name=slug, slug=f"old-{slug}")

    def seen_by_others(self, *slugs: str) -> set[str]:
        with psycopg.connect(connection.connection.info.dsn, autocommit=True) as other:
            rows = other.execute("SELECT slug FROM core_company WHERE slug = ANY(%s)", [list(slugs)])
            return {slug for (slug,) in rows}

    def write(self, slug: str = "new", accepted: bool = True, alone: bool = True) -> None:
        connection.fetch_prepared(self.WRITE, [slug, slug, accepted], writes=True, alone=alone)

    def state(self) -> TransactionStatus:
        return TransactionStatus(connection.connection.pgconn.transaction_status)

    def test_comes_with_the_write_before_the_disk_has_it(self):
        def work() -> None:
            with connection.foreseeing(self.READ, ["new"], lambda rows: [(row[0],) for row in rows]) as read:
                self.write()
                assert self.state() == TransactionStatus.ACTIVE
                assert read() == [("new",)]
            assert self.state() == TransactionStatus.ACTIVE

        with system_context("a test"):
            retried(work)
        assert self.state() == TransactionStatus.IDLE
        assert self.seen_by_others("new") == {"new"}

    def test_commits_nothing_where_nothing_was_written(self):
        def work() -> None:
            connection.start(self.WRITE, ["beside", "beside", True])
            with connection.foreseeing(self.READ, ["new"]) as read:
                self.write(accepted=False)
                read()

        with system_context("a test"), pytest.raises(DatabaseError, match="division"):
            retried(work)
        assert self.seen_by_others("new", "beside") == set()
        assert connection.fetch_prepared("SELECT 7", None) == [(7,)]

    def test_is_not_missed_by_who_was_refused(self):
        def work() -> None:
            with connection.foreseeing(self.READ, ["new"]):
                self.write(accepted=False)
                raise ValueError

        with system_context("a test"), pytest.raises(ValueError):  # noqa: PT011 - it says nothing
            retried(work)
        assert connection.fetch_prepared("SELECT 7", None) == [(7,)]

    @pytest.mark.parametrize("told", [False, True])
    def test_commits_nothing_on_a_premise_that_fails(self, told):
        def work() -> None:
            connection.assume("SELECT 1", None, [(2,)], lambda: None)
            if told:
                connection.go_ahead()
            with connection.foreseeing(self.READ, ["new"]):
                self.write()

        with system_context("a test"), pytest.raises(PremiseFailed):
            retried(work)
        assert self.seen_by_others("new") == set()
        assert connection.fetch_prepared("SELECT 7", None) == [(7,)]

    def test_goes_behind_what_was_started(self):
        def work() -> None:
            connection.assume("SELECT 1", None, [(1,)], lambda: None)
            connection.go_ahead()
            connection.start(self.WRITE, ["beside", "beside", True])
            with connection.foreseeing(self.READ, ["new"]) as read:
                self.write()
                assert read() == [("new", 1)]

        with system_context("a test"):
            retried(work)
        assert self.seen_by_others("new", "beside") == {"new", "beside"}

    def test_waits_for_a_write_that_does_not_stand_alone(self):
        def work() -> None:
            with connection.foreseeing(self.READ, ["new"]) as read:
                self.write(alone=False)
                assert connection.fetch_prepared("SELECT 7", None) == [(7,)]
                assert self.seen_by_others("new") == set()
                assert read() == [("new", 1)]

        with system_context("a test"):
            retried(work)
        assert self.seen_by_others("new") == {"new"}

    def test_lets_none_come_before_it_or_behind(self):
        def before() -> None:
            with connection.foreseeing(self.READ, ["new"]):
                self.write()
                connection.fetch_prepared("SELECT 7", None)

        def behind() -> None:
            with connection.foreseeing(self.READ, ["newer"]) as read:
                self.write("newer")
                read()
            connection.fetch_prepared("SELECT 7", None)

        def inside() -> None:
            with transaction.atomic(), connection.foreseeing(self.READ, ["new"]):
                self.write()
                connection.fetch_prepared("SELECT 7", None)

        with system_context("a test"):
            for work in (before, behind, inside):
                with pytest.raises(ProgrammingError, match="comes be"):
                    retried(work)
        assert connection.fetch_prepared("SELECT 7", None) == [(7,)]

    def test_ends_no_larger_transaction(self):
        def work() -> None:
            with connection.foreseeing(self.READ, ["new"]) as read:
                self.write()
                assert read() == [("new", 1)]

        with system_context("a test"), transaction.atomic():
            retried(work)
            transaction.set_rollback(True)
        assert self.seen_by_others("new") == set()


@pytest.mark.django_db(transaction=True)
class TestStarted:
    def test_says_at_the_end_what_went_wrong(self):
        def work() -> None:
            connection.start("SELECT 1 / %s::int", [0])

        with system_context("a test"), pytest.raises(DatabaseError, match="division"):
            retried(work)
        assert connection.fetch_prepared("SELECT 7", None) == [(7,)]

    def test_needs_a_transaction(self):
        with pytest.raises(transaction.TransactionManagementError):
            connection.start("SELECT 7", None)

    def test_is_heard_before_a_cursor_speaks(self):
        def work() -> int:
            connection.start("SELECT set_config('app.context_id', '7', true)", None)
            with connection.cursor() as cursor:
                cursor.execute("SELECT current_setting('app.context_id')")
                return int(cursor.fetchone()[0])

        with system_context("a test"):
            assert retried(work) == 7


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
