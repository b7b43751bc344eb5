"""The back end in PostgreSQL: a condition as a `Q` whose leaves are plain predicates that indexes serve.

Negations are pushed down to the leaves, and a leaf that may meet a null says what it makes of one, so that
SQL's third truth value never decides. A field behind a relation is asked with EXISTS over the records its
source shows: one that is deleted, of another company or invisible is as if the relation were null.
"""

from __future__ import annotations

import re
from datetime import datetime, tzinfo
from functools import reduce
from operator import and_, or_
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.expressions import Expression

from core.conditions.nodes import Check, Step, Tree, tests_of
from core.conditions.operators import EQUALS, Test
from core.conditions.schema import Every, Not, Some
from core.entities.computed import ComputedValue


class InMemoryOnly(Exception):
    """The condition asks for something that only memory can answer. See `Condition.in_memory_only`."""


def to_q(tree: Tree, now: datetime, zone: tzinfo, *, positive: bool = True) -> Q:
    """Raises: InMemoryOnly."""
    match tree:
        case Check():
            return Q(_check(tree, now, zone, positive))
        case Not(part):
            return to_q(part, now, zone, positive=not positive)
        case Every(parts) | Some(parts):
            inner = [to_q(part, now, zone, positive=positive) for part in parts]
            return reduce(and_ if isinstance(tree, Every) is positive else or_, inner)


def _check(check: Check, now: datetime, zone: tzinfo, positive: bool) -> Any:
    if check.of_old or check.operator.in_memory_only:
        raise InMemoryOnly(f"{check.operator.name} on {check.path}")
    tests = tests_of(check, now, zone)
    negated = check.operator.negated is positive
    if check.steps:
        exists = _behind(check.steps, Predicate(check, tests, negated=False))
        return ~exists if negated else exists
    return Predicate(check, tests, negated=negated)


def _behind(steps: tuple[Step, ...], predicate: Expression) -> Exists:
    step, *further = steps
    inner = _behind(tuple(further), predicate) if further else predicate
    return Exists(step.source.records().filter(Q(inner), pk=OuterRef(step.attribute)))


class Predicate(Expression):
    """The tests of one comparison, or their negation: true or false, never null where it is negated."""

    def __init__(self, check: Check, tests: tuple[tuple[Test, Any], ...], *, negated: bool) -> None:
        super().__init__(output_field=models.BooleanField())
        self.check_of_condition = check
        self.tests = tests
        self.negated = negated
        self.value: Any = F(check.attribute) if check.attribute else ComputedValue(check.field)

    def get_source_expressions(self) -> list[Any]:
        return [self.value]

    def set_source_expressions(self, exprs: Any) -> None:
        (self.value,) = exprs

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        value, params = compiler.compile(self.value)
        field = self.check_of_condition.field
        types = self._types(connection)
        tested = [self._tested(test, operand, value, params, types) for test, operand in self.tests]
        sql = " AND ".join(text for text, _ in tested)
        given = [param for _, params_of_one in tested for param in params_of_one]
        if not self.negated:
            return (sql if len(tested) == 1 else f"({sql})"), given
        if len(self.tests) == 1 and self.tests[0][0].negated_sql:
            return self.tests[0][0].negated_sql.format(field=value), list(params)
        if not field.nullable:
            return f"NOT ({sql})", given
        return f"({value} IS NULL OR NOT ({sql}))", [*params, *given]

    def _types(self, connection: Any) -> dict[str, str]:
        sql_type = self.check_of_condition.field.type.sql_type
        array = self.value.output_field
        # An array operator wants the very type of the column, without its length.
        tags = (
            re.sub(r"\(\d+\)", "", str(array.db_type(connection)))
            if isinstance(array, ArrayField)
            else sql_type
        )
        return {
            "one": f"%s::{sql_type}",
            "many": f"%s::{sql_type}[]",
            "text": "%s::text",
            "tags": f"%s::{tags}",
        }

    def _tested(
        self, test: Test, operand: Any, value: str, params: Any, types: dict[str, str]
    ) -> tuple[str, list[Any]]:
        sql = test.sql.format(field=value, **types)
        given = [*params, test.parameter(operand)] if test.has_parameter else list(params)
        folded = self.check_of_condition.field.folded
        if test is EQUALS and folded and not self.negated:
            # It follows from equality, and has the index.
            alias = value.rpartition(".")[0]
            return f'({sql} AND {alias}."{folded}" = lower(btrim({types["one"]})))', [*given, given[-1]]
        return sql, given
