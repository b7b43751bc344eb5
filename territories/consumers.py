"""Records that are new, restored or changed go where the rules say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.utils import timezone

from core.changes.stream import Batch, consumer
from territories.operations.assignment import assign_by_rules, note_moves_by_hand
from territories.queries import scoped_entities

CONSUMER = "territories.assignment"
# What the rules themselves write: a change of nothing else asks them no more.
_OWN = frozenset({"territory", "territory_id", "territory_pinned", "owner", "owner_id"})


@consumer(CONSUMER, entity_types=[entity.name for entity in scoped_entities()], from_now=True)
def assign(batch: Batch) -> None:
    """Asks the rules about each record once, however often it changed; keeps in the history what others moved."""
    asked: dict[str, dict[UUID, Any]] = defaultdict(dict)
    moves = []
    for change in batch.changes:
        if change.entity_id is None:
            continue
        if change.action == "update" and "territory" in change.changed:
            before, after = _territory(change.old), _territory(change.new)
            moves.append((change.entity_type, change.entity_id, before, after, change))
        if change.action in ("create", "restore") or (change.action == "update" and change.changed - _OWN):
            asked[change.entity_type][change.entity_id] = change
    if moves:
        note_moves_by_hand(batch.company_id, moves)
    now = timezone.now()
    for kind, changes in asked.items():
        assign_by_rules(actor=batch.actor, entity_name=kind, record_ids=list(changes), now=now)


def _territory(values: Mapping[str, Any]) -> UUID | None:
    value = values.get("territory", values.get("territory_id"))
    return UUID(value) if value else None
