"""What is rendered: a document of tables and charts, independent of any format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from core.render.charts import Chart


class CellType(StrEnum):
    """What the cells of a column are. Any cell may be None, which means that there is no value."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    # A number; the column says in which currency, or which other column says it.
    MONEY = "money"
    # A fraction: 0.25 is shown as 25 %.
    PERCENT = "percent"
    BOOLEAN = "boolean"
    DATE = "date"
    # With a time zone; shown in that of the document.
    DATETIME = "datetime"
    # A list of texts.
    LIST = "list"
    # Whatever JSON holds.
    JSON = "json"

    @classmethod
    def of_kind(cls, kind: str) -> CellType:
        """The type of cells for a kind of field (`core.entities.kinds.Kind`)."""
        return _OF_KINDS.get(kind, cls.TEXT)


_OF_KINDS = {
    "integer": CellType.INTEGER,
    "decimal": CellType.DECIMAL,
    "money": CellType.MONEY,
    "boolean": CellType.BOOLEAN,
    "date": CellType.DATE,
    "datetime": CellType.DATETIME,
    "tags": CellType.LIST,
    "json": CellType.JSON,
}
NUMBERS = frozenset({CellType.INTEGER, CellType.DECIMAL, CellType.MONEY, CellType.PERCENT})


@dataclass(frozen=True)
class Column:
    """A column of a table or an axis of a chart."""

    # The stable name: a key in JSON, the heading of machine formats.
    name: str
    # What people read.
    label: str
    type: CellType = CellType.TEXT
    # Of money: the currency's code, or the name of the column that holds each row's.
    currency: str = ""
    currency_column: str = ""
    # How many decimal places people are shown; None: as many as the value has, money as its currency has.
    decimals: int | None = None
    # Labels of coded values, shown to people only.
    choices: Mapping[str, str] = field(default_factory=dict)
    align: Literal["", "left", "right", "center"] = ""
    # A column of totals, such as the last one of a pivot.
    is_total: bool = False

    @property
    def is_number(self) -> bool:
        return self.type in NUMBERS

    @property
    def alignment(self) -> str:
        return self.align or ("right" if self.is_number else "left")


@dataclass(frozen=True)
class TotalRow:
    """A row that sums up others: level 0 is the grand total, 1 the subtotal of the outermost group, and so on."""

    cells: Sequence[Any]
    level: int = 0


Row = Sequence[Any] | TotalRow


@dataclass(frozen=True)
class Table:
    """Rows are read once, in order, and never kept: a generator may yield millions."""

    title: str
    columns: Sequence[Column]
    rows: Iterable[Row]
    name: str = ""
    # At most so many rows are rendered; the file says so when there were more.
    limit: int | None = None
    # How many levels of subtotals the rows have; workbooks group by them.
    subtotal_levels: int = 0


@dataclass(frozen=True)
class Document:
    """Parts are rendered in their order. The locale and the zone decide how people's formats write values."""

    title: str
    parts: Sequence[Table | Chart]
    subtitle: str = ""
    # What the content depends on, such as filters: (label, value).
    parameters: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()
    generated_at: datetime | None = None
    generated_by: str = ""
    company: str = ""
    locale: str = "en_US"
    zone: tzinfo = UTC

    @property
    def tables(self) -> list[Table]:
        return [part for part in self.parts if isinstance(part, Table)]
