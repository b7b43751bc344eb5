"""The back end for writes: a condition as SQL over the aliases `n` and `o`, a row as it will be and as it was.

It means what `Condition.matches` means of `n` with `o` as the old record: nothing compares with a null, a record that is
new changed nothing, and a related record that is deleted or out of sight is none. Values are parameters, never text of
the statement, and those that depend on the present are worked out for each write.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from django.contrib.postgres.fields import ArrayField
from django.db import connection, models

from core.conditions.nodes import Check, Step, Tree, tests_of
from core.conditions.operators import PRESENT, Family, Test
from core.conditions.queryset import InMemoryOnly
from core.conditions.schema import Every, Not, Some

if TYPE_CHECKING:
    from core.conditions.compiler import Condition
    from core.entities.registry import Entity, Field

NEW, OLD = "n", "o"

_LENGTH = re.compile(r"\(\d+\)")
_LITERAL = re.compile(r"('(?:[^']|'')*')")
# A name that is neither a function, a type nor a part of another name.
_NAME = re.compile(r'(?<![\w:."])"?(\w+)"?(?![\w."]*\()')


@dataclass(frozen=True, slots=True)
class RowCondition:
    """SQL over `n` and `o` that is true where the condition holds.

    Each `%s` is a parameter, in the order of `values`; a literal percent sign is doubled.
    """

    sql: str
    # What each parameter is at a given time.
    values: tuple[Callable[[datetime], Any], ...] = ()


def row_condition(condition: Condition, entity: Entity) -> RowCondition:
    """The condition for writes of the entity. Needs the company in context when it asks over relations.

    Raises: InMemoryOnly when it asks for a pattern (`matches`).
    """
    writer = _Writer(entity.model, condition.zone)
    sql = writer.tree(condition.tree, positive=True)
    return RowCondition(sql, tuple(writer.values))


class _Writer:
    def __init__(self, model: type[models.Model], zone: tzinfo) -> None:
        self.model = model
        self.zone = zone
        self.values: list[Callable[[datetime], Any]] = []
        self.aliases = 0

    def tree(self, tree: Tree, *, positive: bool) -> str:
        match tree:
            case Check():
                return self.check(tree, positive)
            case Not(part):
                return self.tree(part, positive=not positive)
            case Every(parts) | Some(parts):
                word = " AND " if isinstance(tree, Every) is positive else " OR "
                return "(" + word.join(self.tree(part, positive=positive) for part in parts) + ")"

    def check(self, check: Check, positive: bool) -> str:
        if check.operator.needs_old:
            changed = self.changed(check)
            return changed if positive else f"NOT ({changed})"
        if check.operator.in_memory_only:
            raise InMemoryOnly(f"{check.operator.name} on {check.path}")
        row = OLD if check.of_old else NEW
        negated = check.operator.negated is positive
        if check.steps:
            exists = self.behind(check, row, check.steps)
            return f"NOT {exists}" if negated else exists
        nullable = check.field.nullable or check.of_old
        value = self.value(check.field, row)
        return self.tested(check, value, self.model, negated=negated, nullable=nullable)

    def value(self, field: Field, row: str) -> str:
        sql = field.sql_of(row).replace("%", "%%")
        return _computed_anew(self.model, sql) if row == NEW else sql

    def behind(self, check: Check, row: str, steps: tuple[Step, ...]) -> str:
        """The positive tests, asked of the record that the relations lead to."""
        step, *further = steps
        self.aliases += 1
        alias = f"c{self.aliases}"
        model = step.source.entity.model
        columns = [column.attname for column in model._meta.concrete_fields]
        records, params = step.source.records().order_by().values(*columns).query.sql_with_params()
        # A compiled queryset writes its parameters as `%s` too, and they come before those of the tests.
        self.values += [partial(_constant, value) for value in params]
        key = f'{alias}."{model._meta.pk.column}" = {row}."{step.field.column}"'
        if further:
            inner = self.behind(check, alias, tuple(further))
        else:
            value = check.field.sql_of(alias).replace("%", "%%")
            inner = self.tested(check, value, model, negated=False, nullable=True)
        return f"EXISTS (SELECT FROM ({records}) {alias} WHERE {key} AND {inner})"

    def tested(
        self, check: Check, value: str, model: type[models.Model], *, negated: bool, nullable: bool
    ) -> str:
        # Which tests there are does not depend on the time, only what they compare with.
        tests = tests_of(check, _ANY_TIME, self.zone)
        if negated and len(tests) == 1 and tests[0][0].negated_sql:
            return tests[0][0].negated_sql.format(field=value)
        types = _parameter_types(check, model)
        sql = []
        for place, (test, _) in enumerate(tests):
            sql.append(test.sql.format(field=value, **types))
            if test.has_parameter:
                self.values.append(partial(self._operand, check, place))
        joined = sql[0] if len(sql) == 1 else "(" + " AND ".join(sql) + ")"
        if not negated:
            return joined
        return f"({value} IS NULL OR NOT ({joined}))" if nullable else f"NOT ({joined})"

    def _operand(self, check: Check, place: int, now: datetime) -> Any:
        test, operand = tests_of(check, now, self.zone)[place]
        return test.parameter(operand)

    def changed(self, check: Check) -> str:
        now_is, was = (_present(check, self.value(check.field, row)) for row in (NEW, OLD))
        differs = f"{OLD}.id IS NOT NULL AND {now_is} IS DISTINCT FROM {was}"
        if check.operator.name == "changed":
            return f"({differs})"
        side = was if check.operator.name == "changed_from" else now_is
        if check.operand is None:
            return f"({differs} AND {side} IS NULL)"
        kind = "tags" if check.family is Family.TAGS else "one"
        operand = json.dumps(check.operand) if check.family is Family.JSON else check.operand
        self.values.append(partial(_constant, operand))
        return f"({differs} AND coalesce({side} = {_parameter_types(check, self.model)[kind]}, false))"


_ANY_TIME = datetime.fromisoformat("2000-01-01T00:00:00Z")


def _constant(value: Any, now: datetime) -> Any:
    return value


def _present(check: Check, value: str) -> str:
    """The value, or null where the field counts as blank."""
    test: Test = PRESENT[check.family]
    return (
        value
        if check.family is Family.PLAIN
        else f"CASE WHEN {test.sql.format(field=value)} THEN {value} END"
    )


def _parameter_types(check: Check, model: type[models.Model]) -> dict[str, str]:
    sql_type = check.field.type.sql_type
    array = model._meta.get_field(check.field.name) if check.attribute else None
    # An array operator wants the very type of the column, without its length.
    tags = _LENGTH.sub("", str(array.db_type(connection))) if isinstance(array, ArrayField) else sql_type
    return {
        "one": f"%s::{sql_type}",
        "many": f"%s::{sql_type}[]",
        "text": "%s::text",
        "tags": f"%s::{tags}",
    }


def _computed_anew(model: type[models.Model], sql: str) -> str:
    """SQL over `n` with each generated column replaced by its expression: nothing has computed it yet."""
    for name, expression in _generated(model).items():
        sql = sql.replace(f'{NEW}."{name}"', f"({expression})")
        sql = re.sub(rf"\b{NEW}\.{name}\b", lambda _, found=expression: f"({found})", sql)  # type: ignore[misc]
    return sql


@lru_cache(maxsize=256)
def _generated(model: type[models.Model]) -> dict[str, str]:
    """The generated columns with their expressions over `n`."""
    columns = {str(column.column) for column in model._meta.concrete_fields}

    def over_row(sql: str) -> str:
        parts = _LITERAL.split(sql)
        # Every other part is a literal.
        parts[::2] = [
            _NAME.sub(lambda name: f'{NEW}."{name[1]}"' if name[1] in columns else name[0], part)
            for part in parts[::2]
        ]
        return "".join(parts).replace("%", "%%")

    return {
        str(column.column): over_row(column.generated_sql(connection)[0])
        for column in model._meta.concrete_fields
        if isinstance(column, models.GeneratedField)
    }
