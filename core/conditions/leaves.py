"""One comparison: the one place that decides what may be asked of a field, and with which values."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from core.conditions.nodes import Check, Step
from core.conditions.operands import BadOperand, read_operand
from core.conditions.operators import OPERATORS, Operator
from core.conditions.schema import MAX_RELATIONS
from core.conditions.sources import FieldSource, MaskedField, UnknownField
from core.entities.registry import Field
from core.kernel.errors import MASKED, Fault

# A longer name is no slip of the pen.
_LONGEST_GUESS = 64
_OLD = "old."
_CUSTOM = "custom_fields"


class LeafReader:
    """Reads comparisons over one source. `old_values` and `in_memory` as in `compile_condition`."""

    def __init__(self, source: FieldSource, *, old_values: bool = False, in_memory: bool = False) -> None:
        self.source = source
        self.old_values = old_values
        self.in_memory = in_memory

    def read(
        self, path: str, operator_name: str, value: Any, *, from_text: bool = False
    ) -> Check | list[Fault]:
        """The typed comparison, or what is wrong with it (paths `field`, `operator`, `value`, `value.0`).
        `from_text`: the values are texts of query parameters, not JSON.
        """
        of_old = self.old_values and path.startswith(_OLD)
        found = self.field(path, path.removeprefix(_OLD) if of_old else path)
        if isinstance(found, Fault):
            return [found]
        steps, asked, attribute = found
        operator = OPERATORS.get(operator_name)
        if operator is None:
            return [Fault("operator", "unknown_operator", f"There is no operator {operator_name!r}.")]
        fault = self._refused(operator, asked, own=not steps and not of_old)
        if fault is not None:
            return [fault]
        try:
            operand = read_operand(asked, operator, value, from_text=from_text)
        except BadOperand as bad:
            return bad.faults
        return Check(path, steps, asked, attribute, operator, operand, of_old)

    def field(self, sent: str, path: str) -> tuple[tuple[Step, ...], Field, str] | Fault:
        """The relations on the way, the field and its model's attribute. Hidden and unknown answer alike,
        at any depth.
        """
        names = _names(path)
        if len(names) - 1 > MAX_RELATIONS:
            return Fault(
                "field", "too_many_relations", f"A field lies at most {MAX_RELATIONS} relations away."
            )
        source, steps = self.source, []
        try:
            for name in names[:-1]:
                relation = source.field(name)
                if not relation.is_relation or relation.sql:
                    return Fault("field", "unknown_field", f"There is no field {sent!r}.")
                related = source.related(name)
                steps.append(Step(relation, _attribute(source, relation), related))
                source = related
            asked = source.field(names[-1])
        except UnknownField as unknown:
            hint = nearest(unknown.name, source.askable)
            return Fault("field", "unknown_field", f"There is no field {sent!r}.{hint}")
        except MaskedField:
            return Fault("field", MASKED, f"{sent!r} is masked for you and cannot be asked for.")
        if not all(field.filterable for field in (asked, *(step.field for step in steps))):
            return Fault("field", "not_filterable", f"{sent!r} cannot be asked for.")
        return tuple(steps), asked, "" if asked.sql else _attribute(source, asked)

    def _refused(self, operator: Operator, asked: Field, *, own: bool) -> Fault | None:
        name = operator.name
        if operator.needs_old:
            if not self.old_values:
                return Fault("operator", "no_old_values", f"{name} can only be asked of changes.")
            return (
                None
                if own
                else Fault("operator", "no_old_values", f"{name} is asked of the record's own fields.")
            )
        if operator.in_memory_only and asked.type.is_text:
            if self.in_memory:
                return None
            return Fault("operator", "in_memory_only", f"{name} cannot be asked of whole lists of records.")
        if name not in asked.type.operators:
            allowed = ", ".join(row for row in OPERATORS if row in asked.type.operators)
            return Fault(
                "operator", "operator_not_allowed", f"A field of kind {asked.kind.value} allows: {allowed}."
            )
        return None


def _names(path: str) -> list[str]:
    names = path.split(".")
    if len(names) > 1 and names[-2] == _CUSTOM:
        names[-2:] = [f"{_CUSTOM}.{names[-1]}"]
    return names


def _attribute(source: FieldSource, field: Field) -> str:
    if not field.column and not field.custom_key:
        # A value that a source adds to its records and no table holds.
        return field.name
    return str(source.entity.model._meta.get_field(field.name).attname)  # type: ignore[union-attr]


def nearest(given: str, names: Iterable[str]) -> str:
    """A sentence with the names that were probably meant; empty when nothing is near."""
    meant = get_close_matches(given, list(names), n=3) if len(given) <= _LONGEST_GUESS else []
    return f" Did you mean {' or '.join(meant)}?" if meant else ""
