"""G7: what the change log costs a write, and that a bulk change after many single ones stays quick."""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from benchmarks import world
from benchmarks.goals.lists import NEW_CONTACT, contacts_url, our_environ
from benchmarks.measuring import MANY_ROUNDS, ROUNDS, Section, interleaved, ratio, seconds
from benchmarks.serving import Call, requests_per_second, served

_LOGGED = "logged_contact"
_LOG_TABLES = "core_changelog, core_changecontext"


def goal(duration: float) -> list[Section]:
    with world.owner() as connection:
        _make_table(connection)
        sections = [_bulk_insert(connection), _set_update(connection), _after_single_ones(connection)]
        connection.execute(f"DROP TABLE {_LOGGED}")
    return [*sections, _single_write(duration)]


def _make_table(connection: psycopg.Connection) -> None:
    """The contacts' table with its indexes; its log trigger may be switched without touching the real one."""
    connection.execute(f"DROP TABLE IF EXISTS {_LOGGED}")
    connection.execute(f"CREATE TABLE {_LOGGED} (LIKE crm_contact INCLUDING ALL)")
    for event, tables in (
        ("INSERT", "NEW TABLE AS new_rows"),
        ("UPDATE", "OLD TABLE AS old_rows NEW TABLE AS new_rows"),
    ):
        connection.execute(
            f"CREATE TRIGGER log_{event.lower()} AFTER {event} ON {_LOGGED} REFERENCING {tables} "
            "FOR EACH STATEMENT EXECUTE FUNCTION app_log_crm_contact()"
        )


def _switched(connection: psycopg.Connection, logged: bool) -> None:
    connection.execute(f"ALTER TABLE {_LOGGED} {'ENABLE' if logged else 'DISABLE'} TRIGGER USER")


def _bulk_insert(connection: psycopg.Connection) -> Section:
    section = Section("G7", f"{world.BOOK:,} contacts inserted in one statement")

    def insert(logged: bool) -> Callable[[], float]:
        def measured() -> float:
            connection.execute(f"TRUNCATE {_LOGGED}, {_LOG_TABLES}")
            _switched(connection, logged)
            return seconds(
                lambda: connection.execute(
                    f"INSERT INTO {_LOGGED} ({world.COLUMNS}) SELECT {world.COLUMNS} FROM {world.RIVAL_TABLE} LIMIT %s",
                    [world.BOOK],
                )
            )

        return measured

    found = interleaved({"without change log": insert(False), "with change log": insert(True)}, ROUNDS)
    section.add(found, "s", "without change log")
    section.judge("bulk insert", ratio(found["with change log"], found["without change log"]), at_most=1.20)
    return section


def _set_update(connection: psycopg.Connection) -> Section:
    section = Section("G7", "Three fields of every fifth contact updated in one statement")
    connection.execute(f"TRUNCATE {_LOGGED}")
    _switched(connection, False)
    connection.execute(
        f"INSERT INTO {_LOGGED} ({world.COLUMNS}) SELECT {world.COLUMNS} FROM {world.RIVAL_TABLE} LIMIT %s",
        [world.BOOK],
    )

    def update(logged: bool) -> Callable[[], float]:
        def measured() -> float:
            connection.execute(f"TRUNCATE {_LOG_TABLES}")
            connection.execute(f"VACUUM ANALYZE {_LOGGED}")
            _switched(connection, logged)
            return seconds(
                lambda: connection.execute(
                    f"UPDATE {_LOGGED} SET title = title || '.', department = reverse(department), "
                    "do_not_call = NOT do_not_call WHERE substr(external_id, 2)::int % 5 = 0"
                )
            )

        return measured

    found = interleaved({"without change log": update(False), "with change log": update(True)}, ROUNDS)
    section.add(found, "s", "without change log")
    section.judge(
        "set update with field diffs",
        ratio(found["with change log"], found["without change log"]),
        at_most=1.60,
    )
    return section


def _after_single_ones(connection: psycopg.Connection) -> Section:
    """The trigger's plan is made by its first calls and kept: one for single rows must not be kept for 20,000."""
    section = Section("G7", "20,000 contacts updated in one statement, with change log")
    _switched(connection, True)
    ids = [row[0] for row in connection.execute(f"SELECT id FROM {_LOGGED} LIMIT 20000").fetchall()]
    bulk = f"UPDATE {_LOGGED} SET title = title || '.' WHERE id = ANY(%s)"

    def after(singles: int) -> Callable[[], float]:
        def measured() -> float:
            connection.execute(f"VACUUM ANALYZE {_LOGGED}")
            with world.owner() as session:
                for record_id in ids[:singles]:
                    session.execute(f"UPDATE {_LOGGED} SET department = 'IT' WHERE id = %s", [record_id])
                return seconds(lambda: session.execute(bulk, [ids]))

        return measured

    found = interleaved({"in a new session": after(0), "after 500 single updates": after(500)}, ROUNDS)
    section.add(found, "s", "in a new session")
    section.judge(
        "after 500 single updates",
        ratio(found["after 500 single updates"], found["in a new session"]),
        at_most=1.5,
    )
    return section


def _single_write(duration: float) -> Section:
    section = Section("G7", "A contact created by POST, with and without the change log's trigger")
    writes = world.house("writes")
    world.empty(writes)
    with served("config.wsgi:application", our_environ()) as ours, world.owner() as connection:
        call = Call(contacts_url(ours), writes.token(), dict(NEW_CONTACT))

        def write(logged: bool) -> Callable[[], float]:
            def measured() -> float:
                connection.execute(
                    f"ALTER TABLE crm_contact {'ENABLE' if logged else 'DISABLE'} TRIGGER log_insert"
                )
                try:
                    call.once()
                    return 1 / requests_per_second(call, duration)
                finally:
                    connection.execute("ALTER TABLE crm_contact ENABLE TRIGGER log_insert")

            return measured

        found = interleaved({"without change log": write(False), "with change log": write(True)}, MANY_ROUNDS)
    world.empty(writes)
    section.add(found, "ms a request", "without change log", 1e3)
    section.judge("single write", ratio(found["with change log"], found["without change log"]), at_most=1.10)
    return section
