"""What the writes of all CRM records share: owner, tags, currency, and the four operations themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import models

from core.changes import Judged, Outcome, Rows, Rule, WriteSpec, erase, insert, judge, remove, restore, update
from core.changes.gates import Verb
from core.kernel.errors import Fault, Invalid
from core.tenancy.actors import Actor
from core.tenancy.postgresql.base import database

# The owner as it will be: who creates a record owns it unless somebody else is named.
OWNER = "CASE WHEN o.id IS NULL THEN coalesce(n.owner_id, %(user)s::uuid) ELSE n.owner_id END"
# The catalog's spelling of each tag.
TAGS = """CASE WHEN g.tags AND n.tags <> '{}' THEN (
  SELECT array_agg(coalesce(known.name, given.name) ORDER BY given.place)
  FROM unnest(n.tags) WITH ORDINALITY AS given(name, place)
  LEFT JOIN crm_tag known ON known.company_id = %(company)s::uuid AND lower(known.name) = lower(given.name)
) ELSE n.tags END"""
CURRENCY = (
    "coalesce(nullif(n.currency, ''), "
    "(SELECT c.default_currency FROM core_company c WHERE c.id = %(company)s::uuid))"
)


def record_spec(
    model: type[models.Model],
    *,
    joins: str = "",
    derive: Mapping[str, str] | None = None,
    rules: tuple[Rule, ...] = (),
    also: Mapping[str, str] | None = None,
) -> WriteSpec:
    """A `WriteSpec` for a `Record`: owner and tags are seen to."""
    return WriteSpec(model, joins, {"owner_id": OWNER, "tags": TAGS, **(derive or {})}, rules, also or {})


@dataclass(frozen=True)
class RecordOperations:
    """Create, update, delete and restore of one kind of record. Each needs a transaction in the actor's company."""

    spec: WriteSpec
    # A reference to the same table that must not lead back to the record (parent, manager).
    upward: str = ""

    def create(self, *, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
        add_unknown_tags(actor=actor, rows=rows, now=now)
        return insert(self.spec, rows, actor=actor, now=now, all_or_none=all_or_none)

    def update(self, *, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
        add_unknown_tags(actor=actor, rows=rows, now=now)
        moving = bool(self.upward) and self.upward in rows.columns
        if moving:
            take_turns(f"{actor.company_id}:{self.spec.model._meta.db_table}:{self.upward}")
        outcome = update(self.spec, rows, actor=actor, now=now, all_or_none=all_or_none)
        if moving and len(outcome.ids) > 1:
            _refuse_cycles(self.spec.model, self.upward, outcome)
        return outcome

    def delete(self, *, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
        return remove(self.spec, rows, actor=actor, now=now, all_or_none=all_or_none)

    def restore(self, *, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
        return restore(self.spec, rows, actor=actor, now=now, all_or_none=all_or_none)

    def judge(self, verb: Verb, *, rows: Rows, **options: Any) -> dict[int, Judged]:
        """What the operation of that verb would do; `options` of `core.changes.judge`."""
        return judge(self.spec, verb, rows, **options)


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


def add_unknown_tags(*, actor: Actor, rows: Rows, now: datetime) -> None:
    """Put the rows' tags that the catalog does not have into it. Needs a transaction.

    A statement of its own before the write: the write then sees them, and also those that another transaction has
    just added under another spelling.
    """
    if "tags" not in rows.columns:
        return
    tagged = rows.only("tags")
    sql = (
        "INSERT INTO crm_tag (id, company_id, created_at, updated_at, created_by_id, updated_by_id, name) "
        "SELECT uuidv7(), %s, %s, %s, %s, %s, given.name FROM ("
        f"SELECT DISTINCT ON (lower(tag)) tag AS name FROM ({tagged.sql}) r, unnest(r.tags) AS tag "
        "ORDER BY lower(tag), r.ord) given "
        "WHERE NOT EXISTS (SELECT FROM crm_tag k WHERE k.company_id = %s AND lower(k.name) = lower(given.name)) "
        "ON CONFLICT DO NOTHING"
    )
    made = (actor.company_id, now, now, actor.user_id, actor.user_id)
    database().fetch_prepared(sql, (*made, *tagged.params, actor.company_id))


def take_turns(name: str) -> None:
    """Hold a lock of that name until the transaction ends."""
    database().fetch_prepared("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (name,))


def _refuse_cycles(model: type[models.Model], column: str, outcome: Outcome) -> None:
    """Rows changed together may close a circle that none of them closes alone."""
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
