"""Writes of assignment rules. A condition is compiled before it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from core.access import view
from core.changes import Outcome, Rows, Rule, WriteSpec, insert, update
from core.changes.rules import PlainOperations
from core.conditions import compile_condition
from core.entities import entities
from core.kernel.errors import DomainError, Fault, Invalid
from core.tenancy.actors import Actor, system_actor
from core.tenancy.context import current_company_id
from territories.models import TerritoryRule
from territories.queries import scoped_entities

_STAYS = Rule(
    "read_only",
    "entity_type",
    "A rule stays with its kind of records; make another one.",
    "o.id IS NOT NULL AND n.entity_type <> o.entity_type",
)
RULES = PlainOperations(
    WriteSpec(TerritoryRule), WriteSpec(TerritoryRule, rules=(_STAYS,)), WriteSpec(TerritoryRule)
)


def check_rule(values: Mapping[str, Any]) -> None:
    """Raises: Invalid for a kind that has no territories, and for a condition that cannot be asked of it."""
    kind = values.get("entity_type")
    names = [entity.name for entity in scoped_entities()]
    if kind is not None and kind not in names:
        detail = f"Choose one of: {', '.join(names)}."
        raise Invalid(faults=[Fault("entity_type", "not_a_choice", detail)])
    if "condition" not in values:
        return
    if kind is None:
        # A change of the condition alone is judged with the kind that is kept: `update_rules`.
        return
    compiled(kind, values["condition"])


def compiled(kind: str, condition: Any) -> Any:
    """The condition over records of the kind, as the company itself sees them. Raises: Invalid, paths below `condition`."""
    try:
        return compile_condition(condition, view(entities[kind], system_actor(current_company_id())))
    except DomainError as refusal:
        faults = refusal.faults or (Fault("", refusal.code, refusal.detail),)
        raise Invalid(faults=[fault.below("condition") for fault in faults]) from None


def create_rules(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """New rules. Needs a transaction."""
    return insert(RULES.creation, rows, actor=actor, now=now, all_or_none=all_or_none)


def update_rules(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Change rules. Needs a transaction. Raises: Invalid for a condition that does not fit the kind that a rule has."""
    outcome = update(RULES.change, rows, actor=actor, now=now, all_or_none=all_or_none)
    if "condition" in rows.columns:
        kept = TerritoryRule.objects.filter(pk__in=list(outcome.ids.values()))
        for rule in kept.only("entity_type", "condition"):
            compiled(rule.entity_type, rule.condition)
    return outcome
