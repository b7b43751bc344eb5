"""G8: what row-level security costs, and that searches below it find their index."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from benchmarks import world
from benchmarks.measuring import MANY_ROUNDS, Section, interleaved, ratio, seconds
from core.tenancy.postgresql.base import APP_ROLE

_ISOLATED = "isolated_contact"
# A difference of hundredths shows between neighbors of some milliseconds only.
_REPEATS = 20
_SHORT_ROUNDS = 150

_COLUMNS = ", ".join(world.FIELDS.values())
_LIST = (
    f"SELECT {_COLUMNS} FROM crm_contact WHERE company_id = %s AND deleted_at IS NULL "
    "ORDER BY created_at DESC, id DESC LIMIT 100"
)
_LOOKUPS = {
    "by mail": ("email_norm = %s", "user777@corp777.example.com"),
    "by phone": ("phone_norm = %s", "12006153063"),
    "full text": ("search_vector @@ to_tsquery('simple', %s)", "user777"),
    "by tags": ("tags @> %s::varchar[] AND search_vector @@ to_tsquery('simple', 'user770')", ["t20"]),
}


@contextmanager
def _bound(company_id: object) -> Iterator[psycopg.Connection]:
    """A session as the application has it: its role, its company."""
    with world.owner() as connection:
        connection.execute("SELECT set_config('app.company_id', %s, false)", [str(company_id)])
        connection.execute(f"SET ROLE {APP_ROLE}")
        yield connection


def goal() -> list[Section]:
    book = world.house("book")
    with world.owner() as owner, _bound(book.company_id) as member:
        return [_list(owner, member, book), _bulk(owner, member, book), _lookups(member, book)]


def _list(owner: psycopg.Connection, member: psycopg.Connection, book: world.House) -> Section:
    section = Section("G8", f"A page of 100 contacts of {world.BOOK:,}, in the database alone")

    def read(connection: psycopg.Connection) -> Callable[[], float]:
        def measured() -> float:
            return statistics.median(
                seconds(lambda: connection.execute(_LIST, [book.company_id], prepare=True).fetchall())
                for _ in range(_REPEATS)
            )

        return measured

    found = interleaved({"without row-level security": read(owner), "with it": read(member)}, _SHORT_ROUNDS)
    section.add(found, "ms", "without row-level security", 1e3)
    section.judge("list", ratio(found["with it"], found["without row-level security"]), at_most=1.03)
    return section


def _bulk(owner: psycopg.Connection, member: psycopg.Connection, book: world.House) -> Section:
    section = Section("G8", f"{world.BOOK:,} contacts inserted in one statement")
    owner.execute(f"DROP TABLE IF EXISTS {_ISOLATED}")
    owner.execute(f"CREATE TABLE {_ISOLATED} (LIKE crm_contact INCLUDING ALL)")
    owner.execute(f"ALTER TABLE {_ISOLATED} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    owner.execute(
        f"CREATE POLICY company ON {_ISOLATED} TO {APP_ROLE} USING (company_id = (SELECT app_company()))"
    )
    owner.execute(
        f"GRANT ALL ON {_ISOLATED} TO {APP_ROLE}; GRANT SELECT ON {world.RIVAL_TABLE} TO {APP_ROLE}"
    )

    def insert(connection: psycopg.Connection) -> Callable[[], float]:
        def measured() -> float:
            owner.execute(f"TRUNCATE {_ISOLATED}")
            return seconds(
                lambda: connection.execute(
                    f"INSERT INTO {_ISOLATED} ({world.COLUMNS}) SELECT {world.COLUMNS} FROM {world.RIVAL_TABLE} "
                    "WHERE company_id = %s",
                    [book.company_id],
                )
            )

        return measured

    found = interleaved({"without row-level security": insert(owner), "with it": insert(member)}, MANY_ROUNDS)
    owner.execute(f"DROP TABLE {_ISOLATED}")
    section.add(found, "s", "without row-level security")
    section.judge("bulk load", ratio(found["with it"], found["without row-level security"]), at_most=1.03)
    return section


def _lookups(member: psycopg.Connection, book: world.House) -> Section:
    section = Section(
        "G8", f"Lookups among {world.BOOK:,} contacts under row-level security, in the database alone"
    )

    def find(condition: str, value: object) -> Callable[[], float]:
        sql = f"SELECT id FROM crm_contact WHERE company_id = %s AND deleted_at IS NULL AND {condition} LIMIT 100"

        def measured() -> float:
            return statistics.median(
                seconds(lambda: member.execute(sql, [book.company_id, value], prepare=True).fetchall())
                for _ in range(_REPEATS)
            )

        return measured

    with world.owner() as owner:
        # What other goals wrote stays in the search index's list of pending entries until it is vacuumed.
        owner.execute("VACUUM crm_contact")
    found = interleaved({name: find(*lookup) for name, lookup in _LOOKUPS.items()}, _SHORT_ROUNDS)
    section.add(found, "ms", None, 1e3)
    for name, values in found.items():
        section.judge(f"{name}, ms", statistics.median(values) * 1e3, at_most=0.6)
    return section
