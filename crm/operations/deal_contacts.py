"""Writes of a deal's contacts. Which of them is the primary one is the deal's to say, in the same transaction."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from core.changes import Judged, Outcome, Rows, Rule, WriteSpec, erase, insert, judge, update
from core.changes.gates import Verb
from core.changes.rules import fixed
from core.tenancy.actors import Actor
from core.tenancy.postgresql.base import database
from crm.models import Deal, DealContact
from crm.operations.deals import update_deals

_DERIVE = {"is_primary": "coalesce(o.is_primary, false)"}
_STAYS = (
    fixed("deal_id", "deal", "A contact of a deal stays with it."),
    fixed("contact_id", "contact", "Remove this one and add the other contact."),
)
_SPEC = WriteSpec(DealContact, derive=_DERIVE, rules=_STAYS)
# For rows that say which contact is the primary one.
_CHOOSING = WriteSpec(
    DealContact,
    derive=_DERIVE,
    rules=(
        *_STAYS,
        Rule(
            "taken",
            "is_primary",
            "A deal has one primary contact.",
            "r.is_primary AND row_number() OVER (PARTITION BY n.deal_id, r.is_primary ORDER BY n.ord) > 1",
        ),
    ),
)
_REMOVAL = WriteSpec(DealContact)


def judge_deal_contacts(verb: Verb, *, rows: Rows, **options: Any) -> dict[int, Judged]:
    """What the operation of that verb would do; `options` of `core.changes.judge`. Needs a transaction."""
    return judge(_REMOVAL if verb == "delete" else _spec(rows), verb, rows, **options)


def create_deal_contacts(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Add contacts to deals; a primary one takes the place of the former. Needs a transaction; locks the deals."""
    _lock(actor, f"SELECT r.deal_id FROM ({rows.sql}) r", rows)
    outcome = insert(_spec(rows), rows, actor=actor, now=now, all_or_none=all_or_none)
    return _chosen(outcome, rows, actor, now)


def update_deal_contacts(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Change roles, or which contact is the primary one. Needs a transaction; locks the deals."""
    _lock(actor, f"SELECT x.deal_id FROM ({rows.sql}) r JOIN crm_dealcontact x ON x.id = r.id", rows)
    outcome = update(_spec(rows), rows, actor=actor, now=now, all_or_none=all_or_none)
    return _chosen(outcome, rows, actor, now)


def delete_deal_contacts(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Take contacts off their deals; a deal whose primary one goes has none. Needs a transaction; locks the deals."""
    _lock(actor, f"SELECT x.deal_id FROM ({rows.sql}) r JOIN crm_dealcontact x ON x.id = r.id", rows)
    primary = dict(
        database().fetch_prepared(
            f"SELECT x.id, x.deal_id FROM ({rows.sql}) r JOIN crm_dealcontact x ON x.id = r.id WHERE x.is_primary",
            rows.params,
        )
    )
    outcome = erase(_REMOVAL, rows, actor=actor, now=now, all_or_none=all_or_none)
    left: dict[UUID, UUID | None] = {primary[key]: None for key in outcome.ids.values() if key in primary}
    _set_primary(left, actor, now)
    return outcome


def _spec(rows: Rows) -> WriteSpec:
    return _CHOOSING if "is_primary" in rows.columns else _SPEC


def _lock(actor: Actor, deals: str, rows: Rows) -> None:
    """Deals first, as whoever writes a deal does: what follows sees the contacts that the last one left."""
    database().fetch_prepared(
        f"SELECT FROM crm_deal d WHERE d.id IN ({deals}) AND d.company_id = %s ORDER BY d.id FOR UPDATE",
        (*rows.params, actor.company_id),
    )


def _chosen(outcome: Outcome, rows: Rows, actor: Actor, now: datetime) -> Outcome:
    """The outcome after the deals have taken the contacts that the rows make primary, and let go of the others."""
    if "is_primary" not in rows.columns or not outcome.ids:
        return outcome
    written = list(outcome.ids.values())
    asked = database().fetch_prepared(
        "SELECT DISTINCT ON (x.deal_id) x.deal_id, CASE WHEN r.is_primary THEN x.contact_id END "
        f"FROM ({rows.sql}) r JOIN crm_dealcontact x ON x.id = r.id AND r.is_primary <> x.is_primary "
        "WHERE x.company_id = %s AND x.id = ANY(%s) ORDER BY x.deal_id, r.is_primary DESC",
        (*rows.params, actor.company_id, written),
    )
    if not asked:
        return outcome
    _set_primary(dict(asked), actor, now)
    versions = dict(
        database().fetch_prepared(
            "SELECT id, version FROM crm_dealcontact WHERE company_id = %s AND id = ANY(%s)",
            (actor.company_id, written),
        )
    )
    return replace(
        outcome,
        versions={place: versions[key] for place, key in outcome.ids.items()},
        unchanged=frozenset(
            place for place in outcome.unchanged if versions[outcome.ids[place]] == outcome.versions[place]
        ),
    )


def _set_primary(contacts: dict[UUID, UUID | None], actor: Actor, now: datetime) -> None:
    """Raises: NotFound when a deal is in the recycle bin."""
    if contacts:
        rows = [{"id": deal, "primary_contact": contact} for deal, contact in contacts.items()]
        update_deals(actor=actor, rows=Rows.of(Deal, rows), now=now).raise_if_refused()
