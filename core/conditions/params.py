"""Filters of a list, given as query parameters:
`?status=new&amount__gte=100&account.industry__in=energy,mining`.

`__in`, `__not_in` and `__between` take values separated by commas; `__in` and `__not_in` may also be
repeated. Relations are given by id. A bare date asked of a time is that whole day in the caller's zone;
`__date` takes nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, tzinfo
from typing import Any

from core.conditions.compiler import Condition
from core.conditions.leaves import LeafReader, nearest
from core.conditions.nodes import Check
from core.conditions.operators import OPERATORS, Operand
from core.conditions.schema import MAX_NODES, Every
from core.conditions.sources import FieldSource
from core.entities.kinds import KINDS, BadValue, Kind
from core.kernel.errors import Fault, Invalid, refused_input

# What stands after the two underscores, and the operator it means.
SUFFIXES = {
    name: name
    for name in (
        *("ne", "gt", "gte", "lt", "lte", "in", "not_in", "between"),
        *("contains", "not_contains", "startswith", "endswith"),
    )
}
_IS_NULL = "isnull"
_ON_DATE = "date"
_REPEATABLE = ("in", "not_in")


def parse_params(
    pairs: Iterable[tuple[str, str]],
    source: FieldSource,
    reserved: Collection[str] = (),
    *,
    zone: tzinfo = UTC,
) -> Condition | None:
    """The condition that a query string says: every filter must hold. None without any.

    `pairs` are the parameters in order, repeated ones repeated; those named in `reserved` mean something
    else. Raises: Invalid, or Forbidden when a field is masked for the actor; the path of a
    fault is the parameter's name as it was sent.
    """
    given: dict[str, list[str]] = {}
    for name, text in pairs:
        if name not in reserved:
            given.setdefault(name, []).append(text)
    if len(given) >= MAX_NODES:
        raise Invalid(faults=[Fault("", "too_many_filters", f"At most {MAX_NODES - 1} filters are allowed.")])
    leaves, checks, faults = LeafReader(source), [], []
    for name, texts in given.items():
        found = _filter(leaves, name, texts)
        if isinstance(found, Check):
            checks.append(found)
        else:
            faults += [Fault(name, fault.code, fault.detail) for fault in found]
    if faults:
        raise refused_input("A filter is not valid.", faults=faults)
    return Condition(Every(tuple(checks)), zone) if checks else None


def _filter(leaves: LeafReader, name: str, texts: list[str]) -> Check | list[Fault]:
    path, marked, suffix = name.rpartition("__")
    if not marked:
        path, suffix = name, ""
    found = leaves.field(path, path)
    if isinstance(found, Fault):
        if found.code == "unknown_field":
            hint = nearest(path, leaves.source.askable)
            return [Fault("", "unknown_filter", f"There is no filter {name!r}.{hint}")]
        return [found]
    _, field, _ = found
    if (
        marked
        and suffix not in (*SUFFIXES, _IS_NULL)
        and (suffix != _ON_DATE or field.kind is not Kind.DATETIME)
    ):
        hint = nearest(suffix, (*SUFFIXES, _IS_NULL))
        return [Fault("", "unknown_operator", f"There is no filter operator {suffix!r} for {path!r}.{hint}")]
    operator = SUFFIXES.get(suffix, "eq")
    if len(texts) > 1 and operator not in _REPEATABLE:
        return [Fault("", "repeated", "This filter is given more than once; use __in for several values.")]
    if not all(texts):
        return [Fault("", "empty_value", "A value is expected; ask for a missing one with __isnull=true.")]
    try:
        if suffix == _IS_NULL:
            return leaves.read(path, _nullness(texts[0]), None)
        if suffix == _ON_DATE:
            KINDS[Kind.DATE].from_text(field, texts[0])
    except BadValue as bad:
        return [Fault("", bad.code, bad.detail)]
    value: Any = texts[0]
    if OPERATORS[operator].operand in (Operand.MANY, Operand.TWO):
        value = [part.strip() for text in texts for part in text.split(",")]
        if not all(value):
            return [Fault("", "empty_value", "There is nothing between two commas.")]
    return leaves.read(path, operator, value, from_text=True)


def _nullness(text: str) -> str:
    if text not in ("true", "false"):
        raise BadValue("not_a_boolean", "true or false is expected.")
    return "is_null" if text == "true" else "is_not_null"
