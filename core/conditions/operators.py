"""The operators, one frozen row each: what they take, and their one meaning in two forms, Python and SQL.

A *test* is a positive statement about a value that is there; about a null it is always false. An operator
is a test or the exact negation of one, so `ne` holds for a null and `not` is never "unknown", in memory as
in PostgreSQL.

Texts compare by code point. `contains`, `startswith` and `endswith` ignore case: both sides in lower case
by Unicode's simple mapping, one character for one (`İ` is `i`, `ß` is not `ss`), which is what PostgreSQL's
built-in C.UTF-8 does.
"""

from __future__ import annotations

import operator as python
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Family(StrEnum):
    """Kinds of values that are tested alike."""

    TEXT = "text"
    TAGS = "tags"
    JSON = "json"
    PLAIN = "plain"


class Operand(StrEnum):
    """What an operator takes as its value."""

    NONE = "none"
    ONE = "one"
    MANY = "many"
    TWO = "two"
    TEXT = "text"
    PATTERN = "pattern"
    ONE_OR_NULL = "one or null"

    def schema(self, one: dict[str, Any], most: int, longest: int, longest_pattern: int) -> dict[str, Any]:
        """JSON Schema of the value, given that of a single one and the limits."""
        if self is Operand.NONE:
            return {"type": "null"}
        if self is Operand.MANY:
            return {"type": "array", "items": one, "minItems": 1, "maxItems": most}
        if self is Operand.TWO:
            return {"type": "array", "items": one, "minItems": 2, "maxItems": 2}
        if self in (Operand.TEXT, Operand.PATTERN):
            return {
                "type": "string",
                "minLength": 1,
                "maxLength": longest if self is Operand.TEXT else longest_pattern,
            }
        return one


def fold(text: str) -> str:
    """Lower case by Unicode's simple mapping."""
    if text.isascii():
        return text.lower()
    # One for one: no rule may look at the neighbors (a final sigma), none may lengthen the text (İ).
    return "".join([character.lower() for character in text.replace("İ", "i")])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class Test:
    """A statement about a value that is not null.

    In `sql`, `{field}` is the value, `{one}` and `{many}` the operand as a parameter of the field's type or of
    its array, `{text}` as a text, `{tags}` as an array of the field's own type.
    """

    name: str
    holds: Callable[[Any, Any], bool]
    # Empty: only in memory.
    sql: str
    # The operand as the SQL form needs it.
    parameter: Callable[[Any], Any] = _same
    # What holds exactly where the test does not, where that is shorter than a negation.
    negated_sql: str = ""

    @property
    def has_parameter(self) -> bool:
        return "{" in self.sql.replace("{field}", "")


def _among(value: Any, many: Sequence[Any]) -> bool:
    return value in many


def _matches(value: str, pattern: Any) -> bool:
    return pattern.search(value) is not None


EQUALS = Test("equals", python.eq, "{field} = {one}")
AMONG = Test("among", _among, "{field} = ANY({many})", list)
ABOVE = Test("above", python.gt, "{field} > {one}")
FROM = Test("from", python.ge, "{field} >= {one}")
BELOW = Test("below", python.lt, "{field} < {one}")
UP_TO = Test("up to", python.le, "{field} <= {one}")
CONTAINS = Test(
    "contains",
    lambda text, part: fold(part) in fold(text),
    "{field} ILIKE {text}",
    lambda part: f"%{_escaped(part)}%",
)
STARTS = Test(
    "starts",
    lambda text, part: fold(text).startswith(fold(part)),
    "{field} ILIKE {text}",
    lambda part: f"{_escaped(part)}%",
)
ENDS = Test(
    "ends",
    lambda text, part: fold(text).endswith(fold(part)),
    "{field} ILIKE {text}",
    lambda part: f"%{_escaped(part)}",
)
MATCHES = Test("matches", _matches, "")
HAS = Test("has", lambda tags, tag: tag in tags, "{field} @> {tags}", lambda tag: [tag])
HAS_ANY = Test("has any", lambda tags, names: not set(names).isdisjoint(tags), "{field} && {tags}", list)

PRESENT: Mapping[Family, Test] = {
    Family.TEXT: Test("not blank", lambda value, _: value != "", "{field} <> ''"),
    Family.TAGS: Test("not empty", lambda value, _: len(value) > 0, "cardinality({field}) > 0"),
    Family.JSON: Test("not null", lambda value, _: True, "{field} <> 'null'::jsonb"),
    Family.PLAIN: Test(
        "not null", lambda value, _: True, "{field} IS NOT NULL", negated_sql="{field} IS NULL"
    ),
}


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator. `tests` says for each family of kinds what is tested; without it the operator compares
    a record with what it was before (`changed`).
    """

    name: str
    operand: Operand
    tests: Mapping[Family, Test]
    summary: str
    negated: bool = False
    # Needs the values from before a change.
    needs_old: bool = False

    @property
    def takes_value(self) -> bool:
        return self.operand is not Operand.NONE

    @property
    def in_memory_only(self) -> bool:
        return self.needs_old or any(not test.sql for test in self.tests.values())


def _on_all(test: Test, **others: Test) -> Mapping[Family, Test]:
    return {family: others.get(family.value, test) for family in Family}


_EQUAL = _on_all(EQUALS, tags=HAS)
_IN = _on_all(AMONG, tags=HAS_ANY)
_CONTAINING = {Family.TEXT: CONTAINS, Family.TAGS: HAS}

OPERATORS: Mapping[str, Operator] = {
    row.name: row
    for row in (
        Operator("eq", Operand.ONE, _EQUAL, "Equals the value; tags: holds the tag."),
        Operator(
            "ne",
            Operand.ONE,
            _EQUAL,
            "Does not equal the value; also holds where there is none.",
            negated=True,
        ),
        Operator("gt", Operand.ONE, _on_all(ABOVE), "Is greater, or later."),
        Operator("gte", Operand.ONE, _on_all(FROM), "Is greater or equal, or not earlier."),
        Operator("lt", Operand.ONE, _on_all(BELOW), "Is less, or earlier."),
        Operator("lte", Operand.ONE, _on_all(UP_TO), "Is less or equal, or not later."),
        Operator("in", Operand.MANY, _IN, "Is one of the values; tags: holds at least one of them."),
        Operator(
            "not_in",
            Operand.MANY,
            _IN,
            "Is none of the values; also holds where there is none.",
            negated=True,
        ),
        Operator(
            "contains",
            Operand.TEXT,
            _CONTAINING,
            "Contains the text, whatever the case; tags: holds the tag.",
        ),
        Operator("not_contains", Operand.TEXT, _CONTAINING, "The negation of contains.", negated=True),
        Operator(
            "startswith", Operand.TEXT, {Family.TEXT: STARTS}, "Begins with the text, whatever the case."
        ),
        Operator("endswith", Operand.TEXT, {Family.TEXT: ENDS}, "Ends with the text, whatever the case."),
        Operator("is_null", Operand.NONE, PRESENT, "Has no value: null, a blank text, no tag.", negated=True),
        Operator("is_not_null", Operand.NONE, PRESENT, "Has a value."),
        Operator("between", Operand.TWO, _on_all(FROM), "Lies between the two values, both included."),
        Operator(
            "changed", Operand.NONE, {}, "Is not what it was before; never holds at creation.", needs_old=True
        ),
        Operator(
            "changed_from", Operand.ONE_OR_NULL, {}, "Changed, and was the value before.", needs_old=True
        ),
        Operator("changed_to", Operand.ONE_OR_NULL, {}, "Changed, and now is the value.", needs_old=True),
        Operator(
            "matches",
            Operand.PATTERN,
            {Family.TEXT: MATCHES},
            "Holds a match of the regular expression (RE2, case counts); only where records are looked at one by one.",
        ),
    )
}
