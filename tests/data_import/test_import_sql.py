"""PostgreSQL and Python give one meaning to transforms and staged blocks."""

import io
import json
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_import.engine.copying import Layout, copy_chunks
from data_import.engine.detect import Hints, detect
from data_import.engine.records import read_records
from data_import.engine.transforms import Chain, TransformError, build_chain

pytestmark = pytest.mark.django_db

RULES: list[tuple[list[dict[str, Any]], bool]] = [
    ([{"transform": "trim"}], True),
    ([{"transform": "collapse_spaces"}], True),
    ([{"transform": "lowercase"}], True),
    ([{"transform": "uppercase"}], True),
    ([{"transform": "unescape_formula"}], True),
    ([{"transform": "null_words", "words": ["NULL", "5%", "a'b", "\\N"]}], True),
    ([{"transform": "null_words", "words": ["Null", "É"], "case_sensitive": False}], True),
    ([{"transform": "map_values", "mapping": {"A": "x'y", "5%": "\\", "é": "\U0001f600"}}], True),
    ([{"transform": "map_values", "mapping": {"": "empty", "b": "c"}, "unmapped": "null"}], True),
    ([{"transform": "default", "value": "100% 'sure'\\"}], True),
    (
        [
            {"transform": "collapse_spaces"},
            {"transform": "lowercase"},
            {"transform": "default", "value": "-"},
        ],
        True,
    ),
    ([{"transform": "parse_date", "formats": ["YYYY-MM-DD"]}], True),
    ([{"transform": "parse_date", "formats": ["DD/MM/YYYY", "MM/DD/YYYY"]}], True),
    ([{"transform": "parse_date", "formats": ["DD.MM.YY", "YYYYMMDD"]}], True),
    ([{"transform": "parse_date", "formats": ["MM/DD/YYYY HH:mm"]}], True),
    ([{"transform": "parse_datetime", "formats": ["YYYY-MM-DD HH:mm:ss.f", "YYYY-MM-DDTHH:mm"]}], True),
    ([{"transform": "parse_datetime", "formats": ["YYYYMMDDTHHmmss", "D.M.YY, H:mm"]}], True),
    (
        [
            {"transform": "trim"},
            {"transform": "parse_date", "formats": ["DD/MM/YYYY"]},
            {"transform": "lowercase"},
        ],
        True,
    ),
    ([{"transform": "parse_number"}], False),
    ([{"transform": "parse_number", "decimal": ",", "grouping": "."}], False),
    ([{"transform": "parse_number", "decimal": ",", "grouping": " "}], False),
    ([{"transform": "parse_number", "grouping": "'"}], False),
    ([{"transform": "parse_boolean"}], True),
    ([{"transform": "currency"}], False),
    ([{"transform": "normalize_email"}], False),
]
CHAINS = [(build_chain(rules), complete) for rules, complete in RULES]

PLAIN = st.text(
    st.characters(exclude_categories=("Cs", "Cn"), exclude_characters="\0", max_codepoint=0x24FF), max_size=12
)
DIGITS = st.from_regex(
    r"[-+(]?[$]?[0-9]{1,4}([-/.,:' ][0-9]{1,4}){0,3}([ T][0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?)?%?",
    fullmatch=True,
)
DATES = st.builds(
    lambda year, month, day, mark, order: mark.join(
        [(year, month, day), (day, month, year), (month, day, year)][order]
    ),
    st.sampled_from(["2024", "1999", "0000", "0001", "68", "69", "00"]),
    st.sampled_from(["1", "02", "12", "13", "00"]),
    st.sampled_from(["1", "05", "29", "30", "31", "32"]),
    st.sampled_from(["-", "/", ".", ""]),
    st.integers(0, 2),
)
WORDS = st.sampled_from(
    [
        "NULL",
        "null",
        "5%",
        "a'b",
        "\\N",
        "é",
        "É",
        "A",
        "b",
        "",
        " ",
        "Yes",
        "no",
        "x",
        "'=1",
        "'\t",
        "eur",
        "USD",
        "Ann@Example.com",
        "a.b+c@d-e.co.uk",
        "a@b",
        "-@x.de",
        "a%b@c.de",
        "ß",
        "İ",
        "Σ",
        "ǅ",
        "ﬁ",
        "\xa0a\u200b ",
        "12/31/2024 9:05",
        "2024-02-29 23:59:59.120000",
        "2024-02-29T7:05",
        "2023-02-29",
        "1,234.50",
        "-0.00",
        "007",
    ]
)
VALUES = st.lists(PLAIN | DIGITS | DATES | WORDS, min_size=1, max_size=30)


def in_python(chain: Chain, value: str | None) -> tuple[str, str | None]:
    try:
        return "value", chain.apply(value)
    except TransformError as error:
        return "fault", error.code


def in_sql(chain: Chain, values: list[str]) -> list[str | None]:
    expression = chain.sql("v.cell")
    assert expression is not None
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {expression} FROM unnest(%s::text[]) WITH ORDINALITY AS v (cell, place) ORDER BY v.place",
            [values],
        )
        return [row[0] for row in cursor.fetchall()]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=VALUES)
def test_sql_means_what_python_means(values: list[str]) -> None:
    for chain, complete in CHAINS:
        for value, found in zip(values, in_sql(chain, values), strict=True):
            kind, expected = in_python(chain, value)
            if found is not None:
                assert (kind, expected) == ("value", found), (chain, value)
            elif complete:
                assert kind == "fault" or expected is None, (chain, value)


def test_sql_reads_the_usual_forms_by_itself() -> None:
    usual = {
        '[{"transform": "parse_number"}]': ["1", "-1,234.50", "0.5", "+7", "1234567.00"],
        '[{"transform": "parse_number", "decimal": ",", "grouping": "."}]': ["1.234,50", "7", "0,25"],
        '[{"transform": "normalize_email"}]': ["Ann@Example.com", " a.b+c@d-e.co.uk", "x_y'z@example.museum"],
        '[{"transform": "currency"}]': ["eur", "USD "],
        '[{"transform": "parse_datetime", "formats": ["YYYY-MM-DD HH:mm"]}]': ["2024-02-29 9:05"],
    }
    for rules, values in usual.items():
        chain = build_chain(json.loads(rules))
        assert in_sql(chain, values) == [chain.apply(value) for value in values]


def test_several_columns_join_alike() -> None:
    chain = build_chain([{"transform": "join", "separator": "% '"}, {"transform": "uppercase"}])
    expression = chain.sql("v.a", "v.b")
    rows = [(" a ", "b"), ("", "b"), (None, " "), ("\xa0", None)]
    with connection.cursor() as cursor:
        for row in rows:
            cursor.execute(f"SELECT {expression} FROM (VALUES (%s::text, %s::text)) AS v (a, b)", row)
            assert cursor.fetchone() == (chain.apply(*row),)


def staged(content: bytes, layout: Layout, size: int, **hints: Any) -> list[tuple[Any, ...]]:
    detection = detect(io.BytesIO(content), hints=Hints(**hints))
    columns = ", ".join(f"c{place} text" for place in range(detection.column_count))
    cells = "raw text[]" if layout == "array" else columns
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS staged_block")
        cursor.execute(
            f"CREATE TEMPORARY TABLE staged_block (number bigint, fault jsonb, {cells}) ON COMMIT DROP"
        )
        for chunk in copy_chunks(io.BytesIO(content), detection, layout=layout, size=size):
            with cursor.copy("COPY staged_block FROM STDIN") as copy:
                copy.write(chunk.data)
        cursor.execute("SELECT * FROM staged_block ORDER BY number")
        return [
            (number, json.loads(fault) if isinstance(fault, str) else fault, *rest)
            for number, fault, *rest in cursor.fetchall()
        ]


AWKWARD = st.text(st.sampled_from("a\\\"\t\n\r,;{}\x1e\x1f'é%.N "), max_size=6)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.lists(AWKWARD, min_size=1, max_size=4), min_size=1, max_size=8), size=st.integers(1, 5)
)
def test_staged_blocks_hold_the_records(rows: list[list[str]], size: int) -> None:
    lines = [
        ",".join('"' + cell.replace('"', '""') + '"' for cell in row)
        for row in [["a", "b", "c"], *rows, ["x"] * 3]
    ]
    content = "\n".join(lines).encode()
    hints = {"delimiter": ",", "quote": '"', "header_row": 0}
    detection = detect(io.BytesIO(content), hints=Hints(**hints))  # type: ignore[arg-type]
    records = list(read_records(io.BytesIO(content), detection))
    in_arrays = staged(content, "array", size, **hints)
    assert [(number, raw) for number, _, raw in in_arrays] == [(r.number, r.values) for r in records]
    in_columns = staged(content, "columns", size, **hints)
    for record, (number, fault, *cells) in zip(records, in_columns, strict=True):
        assert number == record.number
        if record.fault is None:
            assert (fault, cells) == (None, record.values)
        else:
            assert fault["code"] == record.fault.code
            assert fault["raw"] == record.values
