"""What the writes of all CRM records share: owner, tags, currency, and the four operations themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import models

from core.changes import Judged, Outcome, Rows, Rule, WriteSpec, insert, judge, remove, restore, update
from core.changes.gates import Verb
from core.changes.rules import refuse_cycles, take_turns
from core.tenancy.actors import Actor
from core.tenancy.postgresql.base import database
from territories.models import TerritoryScoped

# The owner as it will be: who creates a record owns it unless somebody else is named.
OWNER = "CASE WHEN o.id IS NULL THEN coalesce(n.owner_id, %(user)s::uuid) ELSE n.owner_id END"
# The catalog's spelling of each tag.
TAGS = """CASE WHEN g.tags AND n.tags <> '{}' THEN (
  SELECT array_agg(coalesce(known.name, given.name) ORDER BY given.place)
  FROM unnest(n.tags) WITH ORDINALITY AS given(name, place)
  LEFT JOIN crm_tag known ON known.company_id = %(company)s::uuid AND lower(known.name) = lower(given.name)
) ELSE n.tags END"""
# Who sets a territory pins it, and who empties it frees it, unless they say otherwise.
PINNED = """CASE WHEN g.territory_pinned OR NOT g.territory_id OR n.territory_id IS NOT DISTINCT FROM o.territory_id
  THEN n.territory_pinned ELSE n.territory_id IS NOT NULL END"""
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
    """A `WriteSpec` for a `Record`: owner, tags and the pin of its territory are seen to."""
    common = {"owner_id": OWNER, "tags": TAGS}
    if issubclass(model, TerritoryScoped):
        common["territory_pinned"] = PINNED
    return WriteSpec(model, joins, {**common, **(derive or {})}, rules, also or {})


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
            refuse_cycles(self.spec.model, self.upward, outcome)
        return outcome

    def delete(self, *, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
        return remove(self.spec, rows, actor=actor, now=now, all_or_none=all_or_none)

    def restore(self, *, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
        return restore(self.spec, rows, actor=actor, now=now, all_or_none=all_or_none)

    def judge(self, verb: Verb, *, rows: Rows, **options: Any) -> dict[int, Judged]:
        """What the operation of that verb would do; `options` of `core.changes.judge`."""
        return judge(self.spec, verb, rows, **options)


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
