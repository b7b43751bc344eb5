"""Excel, HTML and PDF: read back with other people's readers."""

from __future__ import annotations

import io
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any
from zipfile import ZipFile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader
from python_calamine import CalamineWorkbook

from core.render import CellType, Column, NotRenderable, TotalRow
from core.render.formats import paper, workbook
from core.render.text import printable
from tests.core.render.documents import AMOUNT, TEXT, document_of, rendered

anything = st.text(st.characters(codec=None), max_size=40) | st.text(
    st.sampled_from("'\"=+-;,\t\n_x0041 \x01")
)
EVERY_TYPE = [Column(kind.value, kind.value.capitalize(), kind) for kind in CellType]
MIXED: list[Any] = [
    "Größe <b>&</b> שלום Привет", 7, Decimal("1.50"), Decimal("1234.5"), Decimal("0.25"), True, date(2026, 7, 1),
    datetime(2026, 7, 1, 12, tzinfo=UTC), ["a", "b"], {"x": 1},
]  # fmt: skip


def sheets(data: bytes) -> dict[str, list[list[Any]]]:
    book = CalamineWorkbook.from_filelike(io.BytesIO(data))
    return {name: book.get_sheet_by_name(name).to_python(skip_empty_area=False) for name in book.sheet_names}


def text_of_pdf(data: bytes) -> str:
    text = "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(data)).pages)
    return text.replace("\u200b", "")


class Page(HTMLParser):
    """The texts of each row of a page's tables, and the tags that are open."""

    VOID = {"meta", "img", "source"}

    def __init__(self, source: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


class TestExcel:
    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.tuples(anything), max_size=6))
    def test_holds_any_text_as_a_text(self, rows: list[tuple[str]]) -> None:
        data, _ = rendered("xlsx", document_of([TEXT], rows))
        read = [row[0] for row in sheets(data)["Deals"][1:]]

        # A reader drops trailing rows that are empty.
        expected = [printable(text).replace("\r\n", "\n").replace("\r", "\n") for (text,) in rows]
        assert [str(cell).replace("\r\n", "\n").replace("\r", "\n") for cell in read] == expected[: len(read)]
        assert not any(expected[len(read) :])

    def test_holds_no_formula(self) -> None:
        data, _ = rendered("xlsx", document_of([TEXT], [["=1+1"], ["@SUM(1)"], ["http://x.example"]]))
        with ZipFile(io.BytesIO(data)) as file:
            sheet = file.read("xl/worksheets/sheet1.xml").decode()
            styles = file.read("xl/styles.xml").decode()

        assert "<f>" not in sheet
        assert "hyperlink" not in sheet
        assert 'quotePrefix="1"' in styles

    def test_has_numbers_dates_and_booleans_of_their_own_kind(self) -> None:
        data, _ = rendered("xlsx", document_of(EVERY_TYPE, [MIXED, [None] * len(EVERY_TYPE)]))
        row = sheets(data)["Deals"][1]

        assert row[1:6] == [7, 1.5, 1234.5, 0.25, True]
        assert row[6] == date(2026, 7, 1)
        assert row[7] == datetime(2026, 7, 1, 14, 0)
        assert row[8:] == ["a,b", '{"x":1}']

    def test_formats_money_by_its_currency(self) -> None:
        columns = [
            Column("amount", "Amount", CellType.MONEY, currency_column="currency"),
            Column("currency", "Currency"),
        ]
        data, _ = rendered("xlsx", document_of(columns, [[5, "JPY"], [5, "EUR"], [Decimal("5.125"), "KWD"]]))
        with ZipFile(io.BytesIO(data)) as file:
            styles = file.read("xl/styles.xml").decode()

        assert {"[$JPY] #,##0", "[$EUR] #,##0.00", "[$KWD] #,##0.000"} <= set(
            re.findall('formatCode="([^"]+)"', styles)
        )

    def test_writes_as_text_what_a_double_cannot_hold(self) -> None:
        long = Decimal("12345678901234567.89")
        data, _ = rendered("xlsx", document_of([AMOUNT], [[long], [Decimal("NaN")]]))

        assert [row[0] for row in sheets(data)["Deals"][1:]] == [str(long), "NaN"]

    def test_continues_on_further_sheets(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(workbook, "MAX_ROWS", 4)
        data, result = rendered("xlsx", document_of([TEXT], [[str(n)] for n in range(7)]))
        read = sheets(data)

        assert [len(rows) for rows in read.values()][:3] == [4, 4, 2]
        assert list(read) == ["Deals", "Deals (2)", "Deals (3)", "About"]
        assert result.row_count == 7
        assert result.is_complete

    def test_says_which_texts_it_cut(self) -> None:
        data, result = rendered("xlsx", document_of([TEXT], [["x" * 40_000]]))

        assert not result.is_complete
        assert len(sheets(data)["Deals"][1][0]) == 32_767
        assert "1 text is longer than the 32,767 characters" in str(sheets(data)["About"])

    def test_says_what_it_is_on_its_last_sheet(self) -> None:
        document = document_of([TEXT], [["a"]], parameters=[("Owner", "=Anna")], generated_by="Ben")
        about = {row[0]: row[1] for row in sheets(rendered("xlsx", document)[0])["About"]}

        assert about["Owner"] == "=Anna"
        assert about["Generated by"] == "Ben"
        assert about["Time zone"] == "Europe/Berlin"
        assert about["Complete"] == "Yes"

    @pytest.mark.parametrize("title", ["a/b:c*?[d]\\e", "x" * 60, "''", "History", "About", ""])
    def test_gives_every_title_a_sheet(self, title: str) -> None:
        from dataclasses import replace

        document = document_of([TEXT], [["a"]])
        tables = [replace(document.tables[0], title=title, rows=[["a"]]) for _ in range(3)]
        read = sheets(rendered("xlsx", replace(document, parts=tables))[0])

        assert len(read) == 4

    def test_refuses_more_columns_than_a_sheet_has(self) -> None:
        columns = [Column(f"c{n}", f"C{n}") for n in range(16_385)]

        with pytest.raises(NotRenderable, match="16,384 columns"):
            rendered("xlsx", document_of(columns, []))


class TestHtml:
    @given(st.lists(st.tuples(anything, anything), max_size=5))
    def test_holds_any_text_and_nothing_else(self, rows: list[tuple[str, str]]) -> None:
        data, _ = rendered(
            "html", document_of([TEXT, Column("other", "<script>")], rows, title="</title><script>")
        )
        page = Page(data.decode())

        assert page.open == []
        assert "script" not in page.tags
        assert page.rows[0] == ["Name", "<script>"]
        # A parser makes of each carriage return a line feed.
        expected = [[printable(text) for text in row] for row in rows]
        assert page.rows[1:] == expected

    def test_fetches_nothing(self) -> None:
        data, _ = rendered("html", document_of([TEXT], [["a"]]))

        assert not re.search(rb'(src|href)="(?!data:)|url\(|@import', data)
        assert b"default-src &#x27;none&#x27;" in data

    def test_marks_headings_totals_and_missing_values(self) -> None:
        rows = [["a", 5], TotalRow(["Sum", 5], 1), TotalRow([None, 5])]
        text = rendered("html", document_of([TEXT, AMOUNT], rows))[0].decode()

        assert '<th scope="col" class="right">Amount (EUR)</th>' in text
        assert '<th scope="row" dir="auto">a</th><td class="right">€5.00</td>' in text
        assert '<tr class="subtotal">' in text
        assert '<tr class="total">' in text
        assert 'aria-label="no value"' in text

    def test_writes_as_the_readers_country_does(self) -> None:
        document = document_of(
            [AMOUNT, Column("d", "D", CellType.DATE)],
            [[Decimal("-1234.5"), date(2026, 7, 1)]],
            locale="de-DE",
        )
        text = rendered("html", document)[0].decode()

        assert "-1.234,50\u00a0€" in text
        assert "01.07.2026" in text
        assert '<html lang="de"' in text

    def test_says_that_rows_are_missing(self) -> None:
        text = rendered("html", document_of([TEXT], [["a"], ["b"]], limit=1))[0].decode()

        assert "Only the first row is in this file; there are more." in text
        assert "1 row · incomplete" in text


class TestPdf:
    def test_holds_texts_that_can_be_selected(self) -> None:
        document = document_of(
            EVERY_TYPE, [MIXED], parameters=[("Owner", "#strong[Anna] $x$ *b*")], generated_by="Ben"
        )
        data, result = rendered("pdf", document)
        text = text_of_pdf(data)

        for shown in (
            "Deals",
            "#strong[Anna] $x$ *b*",
            "<b>&</b>",
            "Привет",
            "1,234.50",
            "25.0%",
            "Jul 1, 2026, 14:00",
        ):
            assert shown in text
        assert "times in Europe/Berlin" in text
        assert result.is_complete

    def test_repeats_headings_and_counts_pages(self) -> None:
        data, _ = rendered("pdf", document_of([TEXT, AMOUNT], [[f"Row {n}", n] for n in range(150)]))
        pages = [page.extract_text() for page in PdfReader(io.BytesIO(data)).pages]

        assert len(pages) > 2
        assert all("Amount (EUR)" in page for page in pages)
        assert f"2 / {len(pages)}" in pages[1]

    def test_says_that_rows_are_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(paper, "MAX_CELLS", 6)
        data, result = rendered("pdf", document_of([TEXT, AMOUNT], [[f"Row {n}", n] for n in range(5)]))

        assert result.row_count == 3
        assert not result.is_complete
        assert "Only the first 3 rows are in this file" in text_of_pdf(data)
        assert "incomplete" in text_of_pdf(data)

    def test_prints_many_columns_in_bands_with_the_first_in_each(self) -> None:
        columns = [TEXT, *(Column(f"c{n}", f"Column{n}", CellType.INTEGER) for n in range(60))]
        data, _ = rendered("pdf", document_of(columns, [["Acme", *range(60)]]))
        text = text_of_pdf(data)

        assert all(f"Column{n}" in text for n in range(60))
        assert text.count("Acme") > 3
        assert "of 61" in text

    @settings(max_examples=15, deadline=None)
    @given(st.lists(st.tuples(anything, anything), max_size=4))
    def test_takes_any_text(self, rows: list[tuple[str, str]]) -> None:
        data, result = rendered("pdf", document_of([TEXT, Column("other", "Other")], rows))

        assert data.startswith(b"%PDF")
        assert result.row_count == len(rows)

    def test_says_which_scripts_it_cannot_show(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from core.render import fonts

        monkeypatch.setattr(fonts, "families", lambda: ("Inter",))
        data, result = rendered("pdf", document_of([TEXT], [["北京"]]))

        assert not result.is_complete
        assert "No font for Chinese, Japanese or Korean" in text_of_pdf(data)

    @pytest.mark.parametrize("text", ["x" * 3_000, "word " * 3_000, "\n" * 300])
    def test_takes_very_long_cells(self, text: str) -> None:
        data, _ = rendered("pdf", document_of([TEXT, AMOUNT], [[text, 1]]))

        assert PdfReader(io.BytesIO(data)).pages


@pytest.mark.parametrize("format", ["csv", "xlsx", "json", "ndjson", "html", "pdf"])
class TestEveryFormat:
    @pytest.mark.parametrize("count", [1, 500])
    def test_takes_no_rows_and_any_number_of_columns(self, format: str, count: int) -> None:
        columns = [Column(f"c{n}", f"Column {n}") for n in range(count)]
        for rows in ([], [[f"v{n}" for n in range(count)]]):
            data, result = rendered(format, document_of(columns, rows))

            # Without rows NDJSON is an empty file.
            assert data or (format == "ndjson" and not rows)
            assert result.row_count == len(rows)
            assert result.is_complete

    def test_has_an_honest_name(self, format: str) -> None:
        _, result = rendered(format, document_of([TEXT], [], title="Ümsatz / Q1 “net”"))

        assert result.file_name == f"umsatz-q1-net-2026-07-01.{format}"
