"""The back end in memory: one record, and what it was before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from core.conditions.nodes import Check, Tree, tests_of
from core.conditions.operators import PRESENT
from core.conditions.schema import Every, Not, Some

if TYPE_CHECKING:
    from core.entities.registry import Field

CUSTOM = "custom_fields"
# Beside a relation's id, the related record: as in documents that expand it.
DETAIL = "_detail"


class NotLoaded(LookupError):
    """The record lacks a field or a nested record that the condition asks for."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a part holds or does not: for a comparison what was asked and what was met, for a group its
    parts.
    """

    holds: bool
    # and, or, not; empty for a comparison.
    group: str = ""
    parts: tuple[Explanation, ...] = ()
    field: str = ""
    operator: str = ""
    actual: Any = None
    previous: Any = None


def holds(
    tree: Tree, record: Mapping[str, Any], old: Mapping[str, Any] | None, now: datetime, zone: tzinfo
) -> bool:
    match tree:
        case Check():
            return _check(tree, record, old, now, zone)
        case Not(part):
            return not holds(part, record, old, now, zone)
        case Every(parts):
            return all(holds(part, record, old, now, zone) for part in parts)
        case Some(parts):
            return any(holds(part, record, old, now, zone) for part in parts)


def explain(
    tree: Tree, record: Mapping[str, Any], old: Mapping[str, Any] | None, now: datetime, zone: tzinfo
) -> Explanation:
    match tree:
        case Check():
            return Explanation(
                _check(tree, record, old, now, zone),
                field=tree.path,
                operator=tree.operator.name,
                actual=_asked_value(tree, record, old),
                previous=_previous(tree.field, record, old) if tree.operator.needs_old else None,
            )
        case Not(part):
            inner = explain(part, record, old, now, zone)
            return Explanation(not inner.holds, "not", (inner,))
        case Every(parts):
            inners = tuple(explain(part, record, old, now, zone) for part in parts)
            return Explanation(all(inner.holds for inner in inners), "and", inners)
        case Some(parts):
            inners = tuple(explain(part, record, old, now, zone) for part in parts)
            return Explanation(any(inner.holds for inner in inners), "or", inners)


def _check(
    check: Check, record: Mapping[str, Any], old: Mapping[str, Any] | None, now: datetime, zone: tzinfo
) -> bool:
    value = _asked_value(check, record, old)
    if check.operator.needs_old:
        return old is not None and _changed(check, value, _previous(check.field, record, old))
    held = value is not None and all(
        test.holds(value, operand) for test, operand in tests_of(check, now, zone)
    )
    return held is not check.operator.negated


def _changed(check: Check, value: Any, previous: Any) -> bool:
    now_is, was = (held if _is_present(check, held) else None for held in (value, previous))
    if now_is == was:
        return False
    if check.operator.name == "changed_from":
        return bool(was == check.operand)
    return check.operator.name == "changed" or bool(now_is == check.operand)


def _is_present(check: Check, value: Any) -> bool:
    return value is not None and PRESENT[check.family].holds(value, None)


def _asked_value(check: Check, record: Mapping[str, Any], old: Mapping[str, Any] | None) -> Any:
    if check.of_old:
        if old is None:
            return None
        if check.steps:
            first = check.steps[0].field.name
            return _value(check, old if first in old else record)
        return _previous(check.field, record, old)
    return _value(check, record)


def _value(check: Check, record: Mapping[str, Any]) -> Any:
    for step in check.steps:
        name = step.field.name
        related = None if _named(name, record) is None else _named(f"{name}{DETAIL}", record)
        if related is None:
            return None
        record = related
    return _typed(check.field, _named(check.field.name, record))


def _previous(field: Field, record: Mapping[str, Any], old: Mapping[str, Any] | None) -> Any:
    """The value from before; a field that `old` does not name was as it is now."""
    if old is None:
        return None
    outer = field.name.partition(".")[0]
    named = field.name in old or outer in old
    return _typed(field, _named(field.name, old if named else record))


def _named(name: str, record: Mapping[str, Any]) -> Any:
    if name in record:
        return record[name]
    outer, dot, key = name.partition(".")
    if dot and outer == CUSTOM and outer in record:
        # A company's own field that a record never had is null.
        return (record[outer] or {}).get(key)
    raise NotLoaded(name)


def _identity(value: Any) -> UUID:
    return value if isinstance(value, UUID) else UUID(value)


def _day(value: Any) -> date:
    return value if isinstance(value, date) else date.fromisoformat(value)


def _moment(value: Any) -> datetime:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError("a time without its zone")
    return moment.astimezone(UTC)


def _number(value: Any) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(str(value))


# From what JSON writes (or Python has already) to what operands are.
_READERS: Mapping[str, Callable[[Any], Any]] = {
    "integer": int,
    "decimal": _number,
    "money": _number,
    "date": _day,
    "datetime": _moment,
    "uuid": _identity,
    "relation": _identity,
    "person": _identity,
}


def _typed(field: Field, value: Any) -> Any:
    reader = _READERS.get(field.kind.value)
    return value if value is None or reader is None else reader(value)
