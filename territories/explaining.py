"""Why a record goes where it goes: every rule asked, in order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from core.access import view
from core.access.related import add_details, load, tree_of
from core.conditions import compile_condition
from core.conditions.memory import Explanation
from core.entities import entities
from core.kernel.errors import DomainError
from core.tenancy.actors import Actor
from territories.matching import ordered_rules


@dataclass(frozen=True)
class RuleVerdict:
    """What one rule says of a record. `explanation` is None for a rule that asks for what the viewer may not see."""

    rule: UUID
    name: str
    territory: UUID
    priority: int
    holds: bool
    decides: bool
    broken: bool
    explanation: dict[str, Any] | None


@dataclass(frozen=True)
class RecordVerdict:
    """Where the rules put a record: nowhere, when it is pinned or no rule fits."""

    territory_id: UUID | None
    pinned: bool
    target_id: UUID | None
    verdicts: list[RuleVerdict]


def explain_record(actor: Actor, entity_name: str, record_id: UUID, *, now: datetime) -> RecordVerdict:
    """Ask every active rule about a record that the actor sees, with the values that the actor sees.

    A few statements, and one for each relation that the rules ask behind. Raises: NotFound, Forbidden.
    """
    entity = entities[entity_name]
    seen = view(entity, actor)
    seen.require("read")
    record = seen.get(record_id)
    ordered = ordered_rules(entity, now)
    paths = {path for condition in ordered.conditions.values() for path in condition.fields}
    tree = tree_of(paths)
    documents = load(seen, [record.pk], tree)
    add_details(seen, documents.values(), tree)
    document = documents[record.pk]
    verdicts: list[RuleVerdict] = []
    target: UUID | None = None
    for rule in [*ordered.rules.values(), *ordered.broken]:
        explanation: Explanation | None = None
        is_broken = rule.pk not in ordered.conditions
        if not is_broken:
            try:
                # As the viewer may ask it: what is hidden from them explains nothing.
                explanation = compile_condition(rule.condition, seen).explain(document, now=now)
            except DomainError:
                explanation = None
        holds = explanation is not None and explanation.holds
        decides = holds and target is None
        if decides:
            target = rule.territory_id
        verdicts.append(
            RuleVerdict(
                rule.pk,
                rule.name,
                rule.territory_id,
                rule.priority,
                holds,
                decides,
                is_broken,
                explained(explanation),
            )
        )
    pinned = bool(record.territory_pinned)
    return RecordVerdict(record.territory_id, pinned, None if pinned else target, verdicts)


def explained(found: Explanation | None) -> dict[str, Any] | None:
    """An explanation as a document."""
    if found is None:
        return None
    if found.group:
        return {
            "holds": found.holds,
            "group": found.group,
            "parts": [explained(part) for part in found.parts],
        }
    actual = found.actual
    plain = actual if actual is None or isinstance(actual, str | int | float | bool | list) else str(actual)
    return {"holds": found.holds, "field": found.field, "operator": found.operator, "actual": plain}
