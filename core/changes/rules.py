"""What the operations of several apps share: plain create, update and delete, and rules that tables have in common."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import models

from core.changes.constraints import Rule
from core.changes.gates import Verb
from core.changes.judging import Judged, judge
from core.changes.outcome import Outcome
from core.changes.rows import Rows
from core.changes.writes import WriteSpec, erase, insert, update
from core.kernel.errors import Fault, Invalid
from core.tenancy.actors import Actor
from core.tenancy.postgresql.base import database


@dataclass(frozen=True)
class PlainOperations:
    """Create, update and delete for good. Each needs a transaction in the actor's company."""

    creation: WriteSpec
    change: WriteSpec
    removal: WriteSpec

    def create(self, *, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
        return insert(self.creation, rows, actor=actor, now=now, all_or_none=all_or_none)

    def update(self, *, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
        return update(self.change, rows, actor=actor, now=now, all_or_none=all_or_none)

    def delete(self, *, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
        return erase(self.removal, rows, actor=actor, now=now, all_or_none=all_or_none)

    def judge(self, verb: Verb, *, rows: Rows, **options: Any) -> dict[int, Judged]:
        """What the operation of that verb would do; `options` of `core.changes.judge`."""
        spec = {"create": self.creation, "update": self.change}.get(verb, self.removal)
        return judge(spec, verb, rows, **options)


def in_use(detail: str, *references: tuple[str, str]) -> Rule:
    """Refuses to erase a row that a `(table, column)` refers to."""
    found = " OR ".join(
        f'EXISTS (SELECT FROM {table} x WHERE x.company_id = %(company)s::uuid AND x."{column}" = o.id)'
        for table, column in references
    )
    return Rule("conflict", "id", detail, found)


def fixed(column: str, path: str, detail: str) -> Rule:
    """Refuses to change a column after creation."""
    return Rule("read_only", path, detail, f'o.id IS NOT NULL AND n."{column}" IS DISTINCT FROM o."{column}"')


def no_cycle(table: str, column: str, path: str, detail: str) -> Rule:
    """Refuses a reference whose chain comes back to the row itself."""
    return Rule(
        "cycle",
        path,
        detail,
        f"g.{column} AND o.id IS NOT NULL AND n.{column} <> n.id AND EXISTS (WITH RECURSIVE up AS ("
        f"SELECT n.{column} AS id UNION SELECT x.{column} FROM {table} x JOIN up ON x.id = up.id "
        f"WHERE x.company_id = %(company)s::uuid AND x.{column} IS NOT NULL"
        ") SELECT FROM up WHERE up.id = n.id)",
    )


def take_turns(name: str) -> None:
    """Hold a lock of that name until the transaction ends."""
    database().fetch_prepared("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (name,))


def refuse_cycles(model: type[models.Model], column: str, outcome: Outcome) -> None:
    """Rows changed together may close a circle that none of them closes alone. Raises: Invalid."""
    table = model._meta.db_table
    found = database().fetch_prepared(
        "WITH RECURSIVE up AS ("
        f"SELECT id AS start, {column} AS id FROM {table} WHERE id = ANY(%s) AND {column} IS NOT NULL "
        f"UNION SELECT up.start, x.{column} FROM {table} x JOIN up ON x.id = up.id WHERE x.{column} IS NOT NULL"
        ") SELECT 1 FROM up WHERE id = start LIMIT 1",
        (list(outcome.ids.values()),),
    )
    if found:
        path = column.removesuffix("_id")
        raise Invalid(faults=[Fault(path, "cycle", "Together these changes would close a circle.")])
