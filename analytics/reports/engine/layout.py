"""Laying out the groups of a pivot: headers in order, cells at their places, shares and changes beside them.

A key is a tuple with one part for each dimension that is not summed over, so `()` is the total. A part is None for no value
and `OTHER` for everything beside the largest.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Literal

from analytics.reports.engine import formulas

Key = tuple[Any, ...]
Values = tuple[Any, ...]
HeaderKind = Literal["detail", "subtotal", "total"]


class Other:
    """Everything beside the largest of a dimension."""

    def __repr__(self) -> str:
        return "OTHER"


OTHER = Other()


@dataclass(frozen=True)
class Axis:
    """The dimensions of one side, outermost first; of each, how its keys are called and how they are ordered."""

    labels: tuple[Callable[[Any], str], ...]
    orders: tuple[Callable[[Any], Any], ...]
    # The bucket of each dimension, empty for what is no span of days.
    spans: tuple[str, ...]

    @property
    def size(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Figure:
    """What is shown of a cell: a sum of the database by its place, or a formula over those with names."""

    name: str
    formula: ast.expr | None = None
    show_as: str = "value"


@dataclass(frozen=True)
class Header:
    key: Key
    labels: tuple[str, ...]
    kind: HeaderKind


@dataclass(frozen=True)
class Grid:
    """`cells[row][column]` holds one value for each figure, None where there are no records."""

    rows: tuple[Header, ...]
    columns: tuple[Header, ...]
    cells: tuple[tuple[Values | None, ...], ...]


@dataclass
class Layout:
    """How the groups are to be laid out."""

    rows: Axis
    columns: Axis
    figures: Sequence[Figure]
    show_subtotals: bool = True
    show_totals: bool = True
    # The figure that orders siblings, by its place; None: their own order.
    sort_by: int | None = None
    descending: bool = False
    sums: Mapping[tuple[Key, Key], Values] = field(default_factory=dict)

    def grid(self, sums: Mapping[tuple[Key, Key], Values]) -> Grid:
        """`sums`: the database's values of each group, one for each figure, by the keys of row and column."""
        self.sums = {place: self.with_formulas(values) for place, values in sums.items()}
        rows = self.headers(self.rows, {row for row, _ in sums}, lambda key: (key, ()))
        columns = self.headers(self.columns, {column for _, column in sums}, lambda key: ((), key))
        running: dict[tuple[int, Key, Key], Decimal] = {}
        cells = tuple(tuple(self.shown(row, column, running) for column in columns) for row in rows)
        return Grid(rows, columns, cells)

    def with_formulas(self, values: Values) -> Values:
        named = {figure.name: value for figure, value in zip(self.figures, values, strict=True)}
        return tuple(
            value if figure.formula is None else formulas.evaluate(figure.formula, named)
            for figure, value in zip(self.figures, values, strict=True)
        )

    # --- headers ------------------------------------------------------------------------------------------------

    def headers(
        self, axis: Axis, keys: set[Key], place: Callable[[Key], tuple[Key, Key]]
    ) -> tuple[Header, ...]:
        children: dict[Key, list[Key]] = {}
        for key in keys:
            if key:
                children.setdefault(key[:-1], []).append(key)
        found: list[Header] = []

        def walk(key: Key) -> None:
            for child in self.ordered(axis, children.get(key, []), place):
                walk(child)
            depth = len(key)
            if depth == axis.size:
                kind: HeaderKind = "detail" if axis.size else "total"
            elif depth:
                kind = "subtotal"
                if not self.show_subtotals:
                    return
            else:
                kind = "total"
                if not self.show_totals:
                    return
            labels = tuple(label(part) for label, part in zip(axis.labels, key, strict=False))
            found.append(Header(key, labels, kind))

        walk(())
        return tuple(found)

    def ordered(self, axis: Axis, keys: list[Key], place: Callable[[Key], tuple[Key, Key]]) -> list[Key]:
        by = self.sort_by
        if not keys:
            return keys
        order = axis.orders[len(keys[0]) - 1]
        keys = sorted(keys, key=lambda key: _natural(key[-1], order), reverse=self.descending and by is None)
        if by is not None:
            figure = by

            def size(key: Key) -> Any:
                values = self.sums.get(place(key))
                return None if values is None else values[figure]

            known = [key for key in keys if size(key) is not None]
            known.sort(key=size, reverse=self.descending)
            keys = known + [key for key in keys if size(key) is None]
        # No value and what is beyond the largest come last, whichever way the others run.
        return (
            [key for key in keys if key[-1] is not None and key[-1] is not OTHER]
            + [key for key in keys if key[-1] is None]
            + [key for key in keys if key[-1] is OTHER]
        )

    # --- cells --------------------------------------------------------------------------------------------------

    def shown(
        self, row: Header, column: Header, running: dict[tuple[int, Key, Key], Decimal]
    ) -> Values | None:
        values = self.sums.get((row.key, column.key))
        if values is None:
            return None
        return tuple(
            value if figure.show_as == "value" else self.derived(number, figure, value, row, column, running)
            for number, (figure, value) in enumerate(zip(self.figures, values, strict=True))
        )

    def derived(
        self,
        number: int,
        figure: Figure,
        value: Any,
        row: Header,
        column: Header,
        running: dict[tuple[int, Key, Key], Decimal],
    ) -> Any:
        match figure.show_as:
            case "share_of_row":
                return self.share(number, value, row.key, ())
            case "share_of_column":
                return self.share(number, value, (), column.key)
            case "share_of_total":
                return self.share(number, value, (), ())
            case "running_total":
                return self.so_far(number, value, row, column, running)
        return self.change(number, figure.show_as, value, row.key, column.key)

    def share(self, number: int, value: Any, row: Key, column: Key) -> Decimal | None:
        whole = self.sums.get((row, column), (None,) * (number + 1))[number]
        if value is None or not whole:
            return None
        return round(Decimal(value) / Decimal(whole), 6)

    @property
    def runs_along_columns(self) -> bool:
        """Which way running totals and changes go: along the columns where those are spans of days, else along the rows."""
        spans = self.columns.spans
        return bool(spans and spans[-1]) or not self.rows.size

    def so_far(
        self,
        number: int,
        value: Any,
        row: Header,
        column: Header,
        running: dict[tuple[int, Key, Key], Decimal],
    ) -> Any:
        along, across = (column, row) if self.runs_along_columns else (row, column)
        if along.kind != "detail":
            return value
        place = (number, along.key[:-1], across.key)
        running[place] = running.get(place, Decimal(0)) + Decimal(value or 0)
        return running[place]

    def change(self, number: int, show_as: str, value: Any, row: Key, column: Key) -> Decimal | None:
        along_columns = self.runs_along_columns
        axis, key = (self.columns, column) if along_columns else (self.rows, row)
        if len(key) != axis.size or not axis.size or value is None:
            return None
        before = previous(axis.spans[-1], key[-1])
        if before is None:
            return None
        earlier = (*key[:-1], before)
        values = self.sums.get((row, earlier) if along_columns else (earlier, column))
        base = None if values is None else values[number]
        if base is None:
            return None
        difference = Decimal(value) - Decimal(base)
        if show_as == "difference":
            return difference
        return round(difference / Decimal(base), 6) if base else None


def previous(span: str, start: Any) -> date | None:
    """The beginning of the span before the one that begins on `start`; None for what is no span."""
    if not isinstance(start, date):
        return None
    if span in ("day", "week"):
        days = timedelta(days=7 if span == "week" else 1)
        return start - days if start - date.min >= days else None
    months = {"month": 1, "quarter": 3, "fiscal_quarter": 3, "year": 12, "fiscal_year": 12}.get(span)
    if months is None:
        return None
    count = start.year * 12 + start.month - 1 - months
    return date(count // 12, count % 12 + 1, 1) if count >= 12 else None


def _natural(part: Any, order: Callable[[Any], Any]) -> tuple[int, Any]:
    return (1, 0) if part is None or part is OTHER else (0, order(part))
