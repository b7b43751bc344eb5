"""One condition language for filters, triggers, routing, rules, policies and reports.

A JSON tree is compiled against a `FieldSource` into a `Condition`, which has three back ends of one meaning:
`to_q` for querysets, `matches` for one record in memory, `row_condition` for the rows of a write. Words: a
*leaf* is a comparison as it was sent, a *check* is one that was typed, a *test* is the positive statement an
operator makes of a value, a *period* is some whole days.
"""

from core.conditions.compiler import Condition, compile_condition
from core.conditions.memory import Explanation, NotLoaded
from core.conditions.params import parse_params
from core.conditions.queryset import InMemoryOnly
from core.conditions.reference import operators_page
from core.conditions.rows import RowCondition, row_condition
from core.conditions.schema import json_schema
from core.conditions.sources import FieldSource, UnknownField

__all__ = [
    "Condition",
    "Explanation",
    "FieldSource",
    "InMemoryOnly",
    "NotLoaded",
    "RowCondition",
    "UnknownField",
    "compile_condition",
    "json_schema",
    "operators_page",
    "parse_params",
    "row_condition",
]
