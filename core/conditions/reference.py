"""The operators as a page of documentation, generated from their table."""

from __future__ import annotations

from core.conditions import schema
from core.conditions.operators import OPERATORS, Operator
from core.conditions.params import SUFFIXES
from core.conditions.periods import MAX_DAYS, WORDS
from core.entities.kinds import KINDS


def operators_page() -> str:
    """`docs/reference/operators.md`."""
    rows = "\n".join(
        f"| `{row.name}` | {row.operand.value} | {_suffix(row)} | {row.summary} | {_kinds(row)} |"
        for row in OPERATORS.values()
    )
    words = "\n".join(f"| `{word}` | {meaning} |" for word, meaning in WORDS.items())
    return f"""# Operators of conditions

A condition is a JSON tree: `{{"and": […]}}`, `{{"or": […]}}`, `{{"not": {{…}}}}`, and comparisons
`{{"field": "amount", "operator": "gte", "value": "1000.00"}}`. A field may lie behind relations
(`account.industry`), be a company's own (`custom_fields.<key>`), or, where changes are asked, be from
before (`old.stage`).

| operator | value | in a query string | meaning | kinds |
| --- | --- | --- | --- | --- |
{rows}

- Nothing compares with a null: `gt`, `eq`, `contains` and the like are false, and `ne`, `not_in`,
`not_contains` are true.
  `not` turns true into false and false into true, never into something unknown.
- `contains`, `startswith` and `endswith` ignore case (`İ` counts as `i`; `ß` is not `ss`); every other
comparison of texts
  heeds it. Texts are ordered by code point.
- A related record that is deleted, or that the caller may not see, counts as no record at all.

## Relative dates

Dates and times may be compared with a word. It stands for a period of whole days in the caller's time zone:
`eq` is "within it", `lt` before it, `gt` after it, `gte` and `lte` not before and not after. Weeks begin on
Monday. A bare date asked of a time is that whole day.

| word | period |
| --- | --- |
{words}

## Limits

{schema.MAX_NODES} comparisons and groups, {schema.MAX_DEPTH} groups inside each other,
{schema.MAX_RELATIONS} relations in a field, {schema.MAX_VALUES} values in a list, {schema.MAX_TEXT}
characters in a text, {schema.MAX_PATTERN} in a pattern, {MAX_DAYS} days in a relative date.
"""


def _suffix(row: Operator) -> str:
    if row.name == "eq":
        return "`field=`"
    if row.name in ("is_null", "is_not_null"):
        return f"`field__isnull={'true' if row.name == 'is_null' else 'false'}`"
    return f"`field__{row.name}=`" if row.name in SUFFIXES else ""


def _kinds(row: Operator) -> str:
    if row.needs_old:
        return "all"
    if row.in_memory_only:
        return ", ".join(kind.value for kind, kind_type in KINDS.items() if kind_type.is_text)
    return ", ".join(kind.value for kind, kind_type in KINDS.items() if row.name in kind_type.operators)
