"""Rules of policies: read from a client's document, compiled, and asked of entries.

A rule is `{"condition": …, "alert": true, "require_review": false}`. Its condition, JSON or a line of text (`texts`), asks
for the entry (`ENTRY_FIELDS`) and, in a policy that names its entities, for the record: its fields after the change, before it
(`old.amount`), and whether they changed. Where both have a name, the entry's counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson

from audit.models import AuditLog, AuditPolicy
from audit.policies.texts import read_text
from audit.sensitivity import is_sensitive
from audit.states import Step, steps_of
from core.access import view
from core.conditions import Condition, compile_condition
from core.conditions.sources import UnknownField
from core.entities import Field, argument, entities
from core.entities.kinds import Kind
from core.kernel.errors import DomainError, Fault, Invalid
from core.tenancy.actors import system_actor

MAX_RULES = 20
_KEYS = ("condition", "text", "alert", "require_review")


def _field(name: str, kind: Kind) -> Field:
    # In memory nothing is selected; that there is SQL says that no model has the value.
    return replace(argument(name, kind, nullable=True), filterable=True, sql="NULL")


ENTRY_FIELDS: Mapping[str, Field] = {
    item.name: item
    for item in (
        _field("action", Kind.TEXT),
        _field("action_description", Kind.TEXT),
        _field("entity_type", Kind.TEXT),
        _field("entity_id", Kind.UUID),
        _field("entity_name", Kind.TEXT),
        _field("changed_fields", Kind.TAGS),
        _field("is_sensitive", Kind.BOOLEAN),
        _field("requires_review", Kind.BOOLEAN),
        _field("user", Kind.UUID),
        _field("impersonator", Kind.UUID),
        _field("api_client", Kind.UUID),
        _field("source", Kind.TEXT),
        _field("ip", Kind.TEXT),
        _field("user_agent", Kind.TEXT),
        _field("correlation_id", Kind.TEXT),
        _field("at", Kind.DATETIME),
    )
}


class EntrySource:
    """The fields that a rule may ask for. A policy speaks for its company, so none is hidden."""

    def __init__(self, company_id: UUID, kinds: Sequence[str]) -> None:
        self._views = [
            view(entity, system_actor(company_id)) for name in kinds if (entity := entities.find(name))
        ]

    @property
    def entity(self) -> Any:
        raise NotImplementedError("entries of the log are no entity")

    @property
    def askable(self) -> Mapping[str, Field]:
        return {
            **{name: field for seen in self._views for name, field in seen.askable.items()},
            **ENTRY_FIELDS,
        }

    def field(self, name: str) -> Field:
        if name in ENTRY_FIELDS:
            return ENTRY_FIELDS[name]
        for seen in self._views:
            field = seen.askable.get(name)
            if field is not None and not field.sql:
                return replace(field, sql="NULL", filterable=True)
        raise UnknownField(name)

    def related(self, name: str) -> EntrySource:
        raise UnknownField(name)

    def records(self) -> Any:
        raise NotImplementedError("a rule asks for no other records")


def read_rules(document: Any, company_id: UUID, kinds: Sequence[str]) -> list[dict[str, Any]]:
    """A client's rules as they are stored: conditions as JSON, with the line of text where that was given.

    Raises: Invalid with every fault, its path below `rules`.
    """
    if not isinstance(document, list):
        raise Invalid(faults=[Fault("rules", "not_a_list", "A list of rules is expected.")])
    if len(document) > MAX_RULES:
        raise Invalid(faults=[Fault("rules", "too_many", f"At most {MAX_RULES} rules are allowed.")])
    faults: list[Fault] = []
    rules = []
    for place, given in enumerate(document):
        try:
            rules.append(_read_rule(given, company_id, kinds))
        except DomainError as refusal:
            faults += [
                fault.below(f"rules.{place}")
                for fault in refusal.faults or (Fault("", refusal.code, refusal.detail),)
            ]
    if faults:
        raise Invalid(faults=faults)
    return rules


def _read_rule(given: Any, company_id: UUID, kinds: Sequence[str]) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise Invalid(faults=[Fault("", "not_an_object", "A rule is an object with a condition.")])
    faults = [
        Fault(str(name), "unknown_field", f"Expected are {', '.join(_KEYS)}.")
        for name in given
        if name not in _KEYS
    ]
    for name in ("alert", "require_review"):
        if not isinstance(given.get(name, False), bool):
            faults.append(Fault(name, "not_a_boolean", "true or false is expected."))
    condition = given.get("condition")
    text = condition if isinstance(condition, str) else ""
    if condition in (None, ""):
        faults.append(Fault("condition", "required", "This is required."))
    else:
        try:
            condition = read_text(text) if text else condition
            compile_condition(condition, EntrySource(company_id, kinds), old_values=True)
        except DomainError as refusal:
            faults += [fault.below("condition") for fault in refusal.faults]
    if faults:
        raise Invalid(faults=faults)
    return {
        "condition": condition,
        "text": text or str(given.get("text") or "")[:2_000],
        "alert": given.get("alert", True),
        "require_review": given.get("require_review", False),
    }


# --- asking entries ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Match:
    """An entry that a policy speaks of, and the places of the rules it met."""

    entry: AuditLog
    rules: tuple[int, ...]
    alerts: bool
    requires_review: bool


@lru_cache(maxsize=1024)
def _compiled(document: bytes, company_id: UUID, kinds: tuple[str, ...]) -> Condition | None:
    """None for a condition that no longer means anything: a field of its has gone since it was written."""
    try:
        return compile_condition(orjson.loads(document), EntrySource(company_id, kinds), old_values=True)
    except DomainError:
        return None


def applies_to(policy: AuditPolicy, entry: AuditLog) -> bool:
    """Whether the policy speaks of entries of this kind and action. Alerts themselves are never spoken of."""
    return (
        entry.entity_type != "audit_alert"
        and (not policy.applies_to_entities or entry.entity_type in policy.applies_to_entities)
        and (not policy.applies_to_actions or entry.action in policy.applies_to_actions)
    )


def matches(policy: AuditPolicy, entries: Sequence[AuditLog]) -> list[Match]:
    """The entries, which have their contexts, that meet a rule of the policy, in their order.

    Relative dates count from the entry's own time, so that asking again later answers the same. At most two statements,
    and only where a rule asks for the record.
    """
    spoken_of = [entry for entry in entries if applies_to(policy, entry)]
    kinds = tuple(policy.applies_to_entities)
    rules = [
        (place, rule, condition)
        for place, rule in enumerate(policy.rules)
        if (condition := _compiled(orjson.dumps(rule["condition"]), policy.company_id, kinds)) is not None
    ]
    if not spoken_of or not rules:
        return []
    asked = {check.field.name for _, _, condition in rules for check in condition.checks}
    steps: dict[int, Step] = {}
    if asked - set(ENTRY_FIELDS):
        keys = {(entry.entity_type, entry.entity_id) for entry in spoken_of if entry.entity_id}
        steps = {step.log_id: step for found in steps_of(keys).values() for step in found}
    found = []
    for entry in spoken_of:
        step = steps.get(entry.pk)
        record = {**dict.fromkeys(asked), **((step and step.after) or {}), **_facts(entry)}
        old = None if step is None or step.before is None else {**dict.fromkeys(asked), **step.before}
        if old is not None:
            old |= {name: record[name] for name in ENTRY_FIELDS}
        met = [
            (place, rule) for place, rule, condition in rules if condition.matches(record, old, now=entry.at)
        ]
        if met:
            found.append(
                Match(
                    entry,
                    tuple(place for place, _ in met),
                    any(rule["alert"] for _, rule in met),
                    any(rule["require_review"] for _, rule in met),
                )
            )
    return found


def _facts(entry: AuditLog) -> dict[str, Any]:
    context = entry.context
    return {
        "action": entry.action,
        "action_description": entry.description or "",
        "entity_type": entry.entity_type,
        "entity_id": entry.entity_id,
        "entity_name": entry.entity_name or "",
        "changed_fields": list(entry.changed_fields or ()),
        "is_sensitive": is_sensitive(entry),
        "requires_review": entry.requires_review,
        "user": context.actor_id if context else None,
        "impersonator": context.impersonator_id if context else None,
        "api_client": context.api_key_id if context else None,
        "source": context.source if context else "",
        "ip": context.ip if context else None,
        "user_agent": context.user_agent if context else "",
        "correlation_id": context.correlation_id if context else "",
        "at": entry.at,
    }
