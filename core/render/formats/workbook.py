"""Excel workbooks, written row by row: numbers are numbers with formats, headers stay in view, subtotals fold.

Texts are never formulas: each is written as a text, and one that looks like a formula is marked so that it stays a text when
somebody edits it. What does not fit on a sheet continues on the next.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from io import BytesIO
from itertools import chain, islice
from tempfile import TemporaryFile
from typing import Any, cast

from babel.numbers import get_currency_precision
from xlsxwriter import Workbook
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from core.render.charts import Chart
from core.render.charts.images import ChartsNotInstalled, png
from core.render.documents import NUMBERS, CellType, Column, Document, Row, Table, TotalRow
from core.render.rendering import NotRenderable, Rendering
from core.render.text import is_formula, printable
from core.render.values import currency_of, day, local, machine_text, number, zone_name

MAX_ROWS = 1_048_576
MAX_COLUMNS = 16_384
MAX_CELL = 32_767
MAX_SHEET_NAME = 31
# A double holds so many digits exactly.
MAX_DIGITS = 15
# Excel's calendar; 1900 itself has a day there that never was.
FIRST_DAY, LAST_DAY = date(1900, 3, 1), date(9999, 12, 31)
MEASURED_ROWS = 200
MAX_WIDTH, MIN_WIDTH = 60, 8
ABOUT = "About"
COPIED_AT_ONCE = 1 << 20
_NOT_IN_NAMES = re.compile(r"[\[\]:*?/\\\x00-\x1f]")
HEADER_FILL, HEADER_TEXT, RULE, TOTAL_FILL, SUBTOTAL_FILL = (
    "#EEF2F7",
    "#1B2430",
    "#C9D2DE",
    "#E3EAF3",
    "#F4F7FA",
)

Put = Callable[[int, int, Any, Sequence[Any], str], None]


def write_xlsx(rendering: Rendering) -> None:
    """Raises: NotRenderable for more columns than a sheet has."""
    with TemporaryFile() as file:
        book = Workbook(
            file,
            {
                "constant_memory": True,
                "strings_to_formulas": False,
                "strings_to_urls": False,
                "default_date_format": "yyyy-mm-dd",
            },
        )
        book.use_zip64()
        _set_properties(book, rendering.document)
        writer = _BookWriter(book, rendering)
        try:
            for part in rendering.document.parts:
                if isinstance(part, Chart):
                    writer.add_chart(part)
                else:
                    writer.add_table(part)
            writer.add_about()
        finally:
            # Closing also removes the temporary files of the sheets.
            book.close()
        file.seek(0)
        while block := file.read(COPIED_AT_ONCE):
            rendering.write(block)


def _set_properties(book: Workbook, document: Document) -> None:
    properties: dict[str, Any] = {
        "title": printable(document.title)[:255],
        "author": printable(document.generated_by)[:255],
        "company": printable(document.company)[:255],
    }
    if document.generated_at is not None:
        properties["created"] = document.generated_at.astimezone(UTC).replace(tzinfo=None)
    book.set_properties(properties)


class _BookWriter:
    def __init__(self, book: Workbook, rendering: Rendering) -> None:
        self.book = book
        self.rendering = rendering
        self._formats: dict[tuple[str, str, str], Format] = {}
        self._names: set[str] = {ABOUT.casefold(), "history"}
        self._cut_cells = 0
        self.header = book.add_format(
            {"bold": True, "bg_color": HEADER_FILL, "font_color": HEADER_TEXT, "bottom": 1, "bottom_color": RULE,
             "text_wrap": True, "valign": "vcenter"}
        )  # fmt: skip
        self.header_right = book.add_format(
            {"bold": True, "bg_color": HEADER_FILL, "font_color": HEADER_TEXT, "bottom": 1, "bottom_color": RULE,
             "text_wrap": True, "valign": "vcenter", "align": "right"}
        )  # fmt: skip

    # --- tables ----------------------------------------------------------------------------------------------------

    def add_table(self, table: Table) -> None:
        columns = table.columns
        if len(columns) > MAX_COLUMNS:
            raise NotRenderable(f"A sheet has {MAX_COLUMNS:,} columns; this table has {len(columns):,}.")
        rows = self.rendering.rows(table)
        measured = list(islice(rows, MEASURED_ROWS))
        puts = [self._put(column, columns) for column in columns]
        remaining = chain(measured, rows)
        part = 1
        while True:
            title = table.title or table.name or self.rendering.document.title
            sheet = self.book.add_worksheet(self._sheet_name(title, part))
            self._head(sheet, columns, measured)
            count = self._fill(sheet, puts, islice(remaining, MAX_ROWS - 1), table.subtotal_levels)
            if count and not table.subtotal_levels:
                sheet.autofilter(0, 0, count, len(columns) - 1)
            following = next(remaining, None)
            if following is None:
                break
            remaining = chain([following], remaining)
            part += 1
        if part > 1:
            self.rendering.mention(f"{title}: continues over {part} sheets of at most {MAX_ROWS - 1:,} rows.")

    def _head(self, sheet: Worksheet, columns: Sequence[Column], measured: Sequence[Row]) -> None:
        sheet.freeze_panes(1, 0)
        sheet.repeat_rows(0)
        sheet.set_landscape()
        sheet.fit_to_pages(1, 0)
        sheet.set_footer("&L&8&A&R&8&P / &N")
        for place, column in enumerate(columns):
            sheet.set_column(place, place, _width(place, column, measured, self.rendering.document.zone))
            style = self.header_right if column.alignment == "right" else self.header
            label = printable(column.label)
            if column.currency:
                label = f"{label} ({column.currency})"
            sheet.write_string(0, place, label[:MAX_CELL], style)

    def _fill(self, sheet: Worksheet, puts: Sequence[Put], rows: Iterator[Row], levels: int) -> int:
        count = 0
        for row in rows:
            count += 1
            if isinstance(row, TotalRow):
                cells, role = row.cells, "total" if row.level == 0 else "subtotal"
                if row.level:
                    sheet.set_row(count, None, None, {"level": min(row.level, 7)})
            else:
                cells, role = row, ""
                if levels:
                    sheet.set_row(count, None, None, {"level": min(levels + 1, 7)})
            for place, (put, value) in enumerate(zip(puts, cells, strict=True)):
                if value is not None:
                    put(count, place, value, cells, role)
                elif role:
                    sheet.write_blank(count, place, None, self._format("", role, ""))
        return count

    def _put(self, column: Column, columns: Sequence[Column]) -> Put:
        """How cells of the column are written to the sheet that was added last."""
        zone = self.rendering.document.zone
        write_text = machine_text(column, zone)
        base_role = "total_column" if column.is_total else ""
        align = column.alignment

        def text(row: int, place: int, value: Any, cells: Sequence[Any], role: str) -> None:
            shown = printable(write_text(value))
            if column.choices:
                shown = column.choices.get(value, shown)
            if len(shown) > MAX_CELL:
                shown, self._cut_cells = shown[: MAX_CELL - 1] + "…", self._cut_cells + 1
            form = "quoted" if is_formula(shown) else ""
            style = self._format(form, role or base_role, align if column.align else "")
            self._sheet.write_string(row, place, shown, style)

        def figure(pattern: Callable[[Any, Sequence[Any]], str]) -> Put:
            def put(row: int, place: int, value: Any, cells: Sequence[Any], role: str) -> None:
                found = value if type(value) is int else number(value)
                if found is None or (len(str(found)) > MAX_DIGITS and _digits(found) > MAX_DIGITS):
                    text(row, place, value, cells, role)
                    return
                style = self._format(pattern(found, cells), role or base_role, align)
                self._sheet.write_number(row, place, found, style)

            return put

        def moment(row: int, place: int, value: Any, cells: Sequence[Any], role: str) -> None:
            found: Any = local(value, zone) if column.type is CellType.DATETIME else day(value)
            if (
                found is None
                or not FIRST_DAY <= (found.date() if isinstance(found, datetime) else found) <= LAST_DAY
            ):
                text(row, place, value, cells, role)
                return
            if isinstance(found, datetime):
                found = found.replace(tzinfo=None)
            form = "yyyy-mm-dd hh:mm" if column.type is CellType.DATETIME else "yyyy-mm-dd"
            self._sheet.write_datetime(row, place, found, self._format(form, role or base_role, ""))

        def boolean(row: int, place: int, value: Any, cells: Sequence[Any], role: str) -> None:
            if not isinstance(value, bool):
                text(row, place, value, cells, role)
                return
            self._sheet.write_boolean(row, place, value, self._format("", role or base_role, ""))

        match column.type:
            case CellType.INTEGER:
                return figure(lambda value, cells: "#,##0")
            case CellType.MONEY:
                currency = currency_of(column, columns)
                return figure(lambda value, cells: _money_pattern(currency(cells), column, value))
            case CellType.DECIMAL:
                return figure(lambda value, cells: _decimal_pattern(value, column.decimals))
            case CellType.PERCENT:
                return figure(
                    lambda value, cells: f"{_pattern(1 if column.decimals is None else column.decimals)}%"
                )
            case CellType.DATE | CellType.DATETIME:
                return moment
            case CellType.BOOLEAN:
                return boolean
        return text

    @property
    def _sheet(self) -> Worksheet:
        return cast(Worksheet, self.book.worksheets_objs[-1])

    def _format(self, form: str, role: str, align: str) -> Format | None:
        if not form and not role and not align:
            return None
        found = self._formats.get((form, role, align))
        if found is None:
            facts: dict[str, Any] = {}
            if form == "quoted":
                facts["quote_prefix"] = True
            elif form:
                facts["num_format"] = form
            if align:
                facts["align"] = align
            if role:
                facts["bold"] = True
            if role == "total":
                facts |= {"bg_color": TOTAL_FILL, "top": 1, "top_color": RULE}
            elif role == "subtotal":
                facts["bg_color"] = SUBTOTAL_FILL
            found = self._formats[form, role, align] = self.book.add_format(facts)
        return found

    def _sheet_name(self, title: str, part: int) -> str:
        base = _NOT_IN_NAMES.sub(" ", printable(title)).strip().strip("'") or "Sheet"
        while True:
            suffix = f" ({part})" if part > 1 else ""
            name = base[: MAX_SHEET_NAME - len(suffix)].strip().strip("'") + suffix
            if name.casefold() not in self._names:
                self._names.add(name.casefold())
                return name
            part += 1

    # --- charts and facts ------------------------------------------------------------------------------------------

    def add_chart(self, chart: Chart) -> None:
        try:
            image = png(chart, locale=self.rendering.document.locale)
        except ChartsNotInstalled as error:
            self.rendering.leave_out(f"{chart.title}: {error}")
            return
        sheet = self.book.add_worksheet(self._sheet_name(chart.title or "Chart", 1))
        sheet.hide_gridlines(2)
        sheet.insert_image(
            1, 1, "chart.png",
            {"image_data": BytesIO(image), "x_scale": 0.5, "y_scale": 0.5, "description": chart.description},
        )  # fmt: skip

    def add_about(self) -> None:
        """The last sheet says what the file is and whether it is complete."""
        document, rendering = self.rendering.document, self.rendering
        if self._cut_cells:
            count = f"{self._cut_cells:,} text{'s are' if self._cut_cells > 1 else ' is'}"
            rendering.leave_out(
                f"{count} longer than the {MAX_CELL:,} characters a cell holds and cut there."
            )
        sheet = self.book.add_worksheet(ABOUT)
        sheet.hide_gridlines(2)
        sheet.set_column(0, 0, 22)
        sheet.set_column(1, 1, 90)
        title = self.book.add_format({"bold": True, "font_size": 14})
        label = self.book.add_format({"font_color": "#5B6675", "valign": "top"})
        wrapped = self.book.add_format({"text_wrap": True, "valign": "top", "align": "left"})
        sheet.write_string(0, 0, printable(document.title)[:MAX_CELL], title)
        for place, (name, value) in enumerate(_facts(document, rendering), 2):
            sheet.write_string(place, 0, printable(name)[:MAX_CELL], label)
            sheet.write_string(place, 1, printable(value)[:MAX_CELL], wrapped)
        if not self.rendering.document.parts:
            sheet.activate()


def _facts(document: Document, rendering: Rendering) -> Iterator[tuple[str, str]]:
    if document.subtitle:
        yield "Subtitle", document.subtitle
    if document.company:
        yield "Company", document.company
    yield from document.parameters
    if document.generated_at is not None:
        yield "Generated at", f"{document.generated_at.astimezone(document.zone):%Y-%m-%d %H:%M}"
    if document.generated_by:
        yield "Generated by", document.generated_by
    yield "Time zone", zone_name(document.zone)
    yield "Rows", f"{rendering.row_count:,}"
    yield "Complete", "Yes" if rendering.is_complete else "No"
    for notice in rendering.notices:
        yield "Notice", notice
    for note in document.notes:
        yield "Note", note


def _digits(value: int | Decimal) -> int:
    return len(Decimal(value).normalize().as_tuple().digits)


def _pattern(decimals: int) -> str:
    return "#,##0" + ("." + "0" * decimals if decimals else "")


def _decimal_pattern(value: int | Decimal, decimals: int | None) -> str:
    if decimals is None:
        decimals = max(0, -int(value.as_tuple().exponent)) if isinstance(value, Decimal) else 0
    return _pattern(min(decimals, 15))


def _money_pattern(currency: str, column: Column, value: int | Decimal) -> str:
    if column.decimals is not None:
        decimals = column.decimals
    else:
        decimals = get_currency_precision(currency) if currency else 2
        if isinstance(value, Decimal):
            # More digits than the currency has are shown rather than rounded away.
            decimals = max(decimals, -int(value.normalize().as_tuple().exponent))
    return _pattern(decimals) if column.currency or not currency else f"[${currency}] {_pattern(decimals)}"


def _width(place: int, column: Column, rows: Sequence[Row], zone: tzinfo) -> float:
    """In characters: what the first rows need, within reason."""
    if column.type is CellType.DATETIME:
        return 17
    write = machine_text(column, zone)
    extra = 6 if column.type is CellType.MONEY else 2 if column.type in NUMBERS else 1
    widest = 0
    for row in rows:
        cells = row.cells if isinstance(row, TotalRow) else row
        if (value := cells[place]) is not None:
            widest = max(widest, max(map(len, write(value)[:500].split("\n"))) + extra)
    heading = max(map(len, column.label.split() or [""])) + 4
    return float(min(MAX_WIDTH, max(MIN_WIDTH, heading, widest)))
