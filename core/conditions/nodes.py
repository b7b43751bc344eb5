"""A typed condition: frozen nodes that both back ends walk, and how a comparison becomes tests once "now"
is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any, TypeAlias

from core.conditions.operators import ABOVE, BELOW, FROM, UP_TO, Family, Operator, Test
from core.conditions.periods import Moment, Period
from core.conditions.schema import Every, Not, Some

if TYPE_CHECKING:
    from core.conditions.sources import FieldSource
    from core.entities.registry import Field


@dataclass(frozen=True, slots=True)
class Step:
    """One relation on the way to a field."""

    field: Field
    # The model's attribute that holds the related id.
    attribute: str
    source: FieldSource


@dataclass(frozen=True, slots=True)
class Check:
    """One typed comparison."""

    path: str
    steps: tuple[Step, ...]
    field: Field
    # The model's attribute; empty when the field is computed by SQL.
    attribute: str
    operator: Operator
    operand: Any
    # Asked of the values from before the change.
    of_old: bool = False

    @property
    def family(self) -> Family:
        return family_of(self.field)


Tree: TypeAlias = Check | Every[Check] | Some[Check] | Not[Check]


def family_of(field: Field) -> Family:
    if field.type.is_text:
        return Family.TEXT
    return {"tags": Family.TAGS, "json": Family.JSON}.get(field.kind.value, Family.PLAIN)


def checks_of(tree: Tree) -> Iterator[Check]:
    match tree:
        case Check():
            yield tree
        case Not(part):
            yield from checks_of(part)
        case Every(parts) | Some(parts):
            for part in parts:
                yield from checks_of(part)


def tests_of(check: Check, now: datetime, zone: tzinfo) -> tuple[tuple[Test, Any], ...]:
    """What must hold, all together, of a value that is there; an operator that is `negated` holds where
    this does not.
    """
    if check.operator.name == "between":
        low, high = check.operand
        return (*_bounds(check, FROM, low, now, zone), *_bounds(check, UP_TO, high, now, zone))
    return _bounds(check, check.operator.tests[check.family], check.operand, now, zone)


def _bounds(
    check: Check, test: Test, operand: Any, now: datetime, zone: tzinfo
) -> tuple[tuple[Test, Any], ...]:
    if isinstance(operand, Moment):
        return ((test, now),)
    if not isinstance(operand, Period):
        return ((test, operand),)
    start: Any
    after: Any
    start, after = (
        operand.dates(now, zone) if check.field.kind.value == "date" else operand.moments(now, zone)
    )
    if test is FROM or test is BELOW:
        return ((test, start),)
    # Later than a period is from its end on; not later is before its end.
    if test is ABOVE:
        return ((FROM, after),)
    if test is UP_TO:
        return ((BELOW, after),)
    return ((FROM, start), (BELOW, after))
