"""CSV, JSON and NDJSON: exact, streamed, read back by readers that are not ours."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.render import CellType, Column, NotRenderable, Table, TotalRow, plain_text, safe_text
from core.render.text import encodable
from tests.core.render.documents import AMOUNT, TEXT, document_of, rendered

anything = st.text(st.characters(codec=None), max_size=40) | st.text(st.sampled_from("'\"=+-;,\t\r\n|a \x00"))
OTHER = Column("other", "Other")


def read_csv(data: bytes, delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline=""), delimiter=delimiter, strict=True))


class TestCsv:
    @given(st.lists(st.tuples(anything, anything), max_size=8), st.sampled_from([",", ";", "\t", "|"]))
    def test_holds_any_text(self, rows: list[tuple[str, str]], delimiter: str) -> None:
        data, result = rendered("csv", document_of([TEXT, OTHER], rows), delimiter=delimiter)
        read = read_csv(data, delimiter)

        assert read[0] == ["name", "other"]
        assert [[plain_text(cell) for cell in row] for row in read[1:]] == [
            [encodable(cell) for cell in row] for row in rows
        ]
        assert result.row_count == len(rows)
        assert result.is_complete

    @given(st.decimals(allow_nan=False, allow_infinity=False, places=None))
    def test_writes_numbers_with_all_digits_and_no_apostrophe(self, amount: Decimal) -> None:
        data, _ = rendered("csv", document_of([AMOUNT], [[amount]]))
        cell = read_csv(data)[1][0]

        assert Decimal(cell) == amount
        assert "E" not in cell

    def test_keeps_negative_numbers_and_disarms_texts_that_look_like_them(self) -> None:
        data, _ = rendered(
            "csv", document_of([AMOUNT, TEXT], [[-5, "-5"], ["-7.50", "+49 30"], ["=1+1", "x"]])
        )

        assert read_csv(data)[1:] == [["-5", "'-5"], ["-7.50", "'+49 30"], ["'=1+1", "x"]]

    def test_tells_nothing_from_the_empty_text(self) -> None:
        data, _ = rendered("csv", document_of([TEXT, OTHER], [[None, ""], ["", None]]))

        assert data.decode().splitlines()[1:] == [',""', '"",']

    def test_of_one_column_has_a_line_for_every_row(self) -> None:
        data, _ = rendered("csv", document_of([TEXT], [[None], [""], ["a"]]))

        assert read_csv(data) == [["name"], [""], [""], ["a"]]

    def test_writes_every_type(self) -> None:
        columns = [
            Column("b", "B", CellType.BOOLEAN),
            Column("d", "D", CellType.DATE),
            Column("t", "T", CellType.DATETIME),
            Column("l", "L", CellType.LIST),
            Column("j", "J", CellType.JSON),
            Column("u", "U"),
        ]
        key = UUID(int=7)
        moment = datetime(2026, 7, 1, 12, tzinfo=UTC)
        rows: list[Any] = [
            [True, date(2026, 7, 1), moment, ["a", "b"], {"x": [1]}, key],
            ["false", "2026-07-01", "2026-07-01T12:00:00Z", "a", '{"x":1}', "=u"],
        ]
        data, _ = rendered("csv", document_of(columns, rows))

        assert read_csv(data)[1:] == [
            ["true", "2026-07-01", "2026-07-01T14:00:00+02:00", "a,b", '{"x":[1]}', str(key)],
            ["false", "2026-07-01", "2026-07-01T14:00:00+02:00", "a", '{"x":1}', "'=u"],
        ]

    def test_may_begin_with_the_mark_and_the_labels_that_excel_wants(self) -> None:
        data, _ = rendered("csv", document_of([TEXT], [["ä"]]), bom=True, labels=True, delimiter=";")

        assert data == "\ufeffName\r\nä\r\n".encode()

    def test_disarms_headings_too(self) -> None:
        data, _ = rendered("csv", document_of([Column("=1+1", "x")], []))

        assert data == b"'=1+1\r\n"

    def test_of_two_tables_is_refused(self) -> None:
        from dataclasses import replace

        document = document_of([TEXT], [])
        two = replace(document, parts=[*document.parts, Table("More", [TEXT], [])])

        with pytest.raises(NotRenderable, match="exactly one table"):
            rendered("csv", two)

    def test_refuses_a_row_of_another_length(self) -> None:
        with pytest.raises(ValueError, match="shorter"):
            rendered("csv", document_of([TEXT, OTHER], [["a"]]))


class TestJson:
    @given(
        st.lists(
            st.tuples(anything, st.none() | st.decimals(allow_nan=False, allow_infinity=False)), max_size=8
        )
    )
    def test_holds_any_text_and_every_digit(self, rows: list[tuple[str, Decimal | None]]) -> None:
        data, _ = rendered("json", document_of([TEXT, AMOUNT], rows))
        (table,) = json.loads(data)["tables"]

        assert [row["name"] for row in table["rows"]] == [encodable(text) for text, _ in rows]
        assert [None if row["amount"] is None else Decimal(row["amount"]) for row in table["rows"]] == [
            amount for _, amount in rows
        ]
        assert table["row_count"] == len(rows)

    def test_says_what_it_is(self) -> None:
        document = document_of(
            [AMOUNT], [], parameters=[("Owner", "Anna")], generated_by="Anna", notes=["Net"]
        )
        said = json.loads(rendered("json", document)[0])

        assert said["generated_at"] == "2026-07-01T14:00:00+02:00"
        assert said["time_zone"] == "Europe/Berlin"
        assert said["parameters"] == [{"label": "Owner", "value": "Anna"}]
        assert said["tables"][0]["columns"] == [
            {"name": "amount", "label": "Amount", "type": "money", "currency": "EUR"}
        ]
        assert said["is_complete"] is True

    def test_marks_totals(self) -> None:
        rows = [["a", 1], TotalRow([None, 1])]
        (table,) = json.loads(rendered("json", document_of([TEXT, AMOUNT], rows))[0])["tables"]

        assert table["rows"][1] == {"name": None, "amount": "1", "_total_level": 0}

    def test_takes_integers_larger_than_any_machine_word(self) -> None:
        column = Column("n", "N", CellType.INTEGER)
        data, _ = rendered("ndjson", document_of([column], [[10**30], [5], ["7"]]))

        assert [json.loads(line)["n"] for line in data.splitlines()] == [str(10**30), 5, 7]


class TestNdjson:
    @given(st.lists(anything, max_size=8))
    def test_is_one_object_a_line(self, texts: list[str]) -> None:
        data, _ = rendered("ndjson", document_of([TEXT], [[text] for text in texts]))
        lines = data.split(b"\n")

        assert lines.pop() == b""
        assert [json.loads(line) for line in lines] == [{"name": encodable(text)} for text in texts]


class TestLimits:
    @pytest.mark.parametrize("format", ["csv", "ndjson", "json", "xlsx", "html", "pdf"])
    def test_are_said(self, format: str) -> None:
        _, result = rendered(format, document_of([TEXT], ([str(n)] for n in range(10)), limit=3))

        assert result.row_count == 3
        assert not result.is_complete
        assert result.notices == ("Deals: Only the first 3 rows are in this file; there are more.",)

    @pytest.mark.parametrize("format", ["csv", "ndjson", "json", "xlsx", "html", "pdf"])
    def test_that_just_suffice_leave_a_file_complete(self, format: str) -> None:
        _, result = rendered(format, document_of([TEXT], ([str(n)] for n in range(3)), limit=3))

        assert result.is_complete
        assert result.notices == ()

    def test_are_in_the_json_itself(self) -> None:
        said = json.loads(rendered("json", document_of([TEXT], [["a"], ["b"]], limit=1))[0])

        assert said["is_complete"] is said["tables"][0]["is_complete"] is False


def test_one_function_knows_formulas() -> None:
    assert safe_text("=1") == "'=1"
