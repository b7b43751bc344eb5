"""What each transform makes of a cell, and what is said about rules that make no sense."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_import.engine.transforms import (
    RuleFaults,
    TransformError,
    build,
    build_chain,
    describe,
)

DataDir = Callable[[str], Path]

CASES: list[tuple[str, dict[str, Any], str | None, str | None]] = [
    ("trim", {}, "\ufeff\xa0 a b\u200b\n", "a b"),
    ("collapse_spaces", {}, "  a \t\n b\xa0c ", "a b c"),
    ("lowercase", {}, "ÀÉ İ ΑΣ", "àé i ασ"),
    ("uppercase", {}, "straße ŉ é", "STRAßE ŉ É"),
    ("titlecase", {}, "o'neil MCDONALD jean-luc dyk's", "O'Neil McDonald Jean-Luc Dyk's"),
    ("null_words", {"words": ["NULL", "n/a"]}, " NULL ", None),
    ("null_words", {"words": ["NULL"]}, "null", "null"),
    ("null_words", {"words": ["NULL"], "case_sensitive": False}, "null", None),
    ("map_values", {"mapping": {"Won": "closed_won"}}, " won", "closed_won"),
    ("map_values", {"mapping": {"Won": "x"}, "case_sensitive": True}, "won", "won"),
    ("map_values", {"mapping": {"a": "b"}, "unmapped": "null"}, "z", None),
    ("default", {"value": "x"}, "  ", "x"),
    ("default", {"value": "x"}, None, "x"),
    ("default", {"value": "x"}, "y", "y"),
    ("regex_replace", {"pattern": r"(\w+) (\w+)", "replacement": r"\2-\1"}, "a b", "b-a"),
    ("regex_replace", {"pattern": "A", "case_sensitive": False, "replacement": r"\\"}, "bab", "b\\b"),
    ("unescape_formula", {}, "'+49 30", "+49 30"),
    ("unescape_formula", {}, "'tis", "'tis"),
    ("parse_date", {"formats": ["DD.MM.YYYY"]}, " 3.4.2024 ", "2024-04-03"),
    ("parse_date", {"formats": ["MM/DD/YYYY", "DD MMM YYYY"]}, "3 Mai 2024", "2024-05-03"),
    ("parse_date", {"formats": ["YYYY-MM-DD HH:mm"]}, "2024-01-02 10:30", "2024-01-02"),
    ("parse_datetime", {"formats": ["YYYY-MM-DD HH.mm.ss"]}, "2022-05-25 10.39.15", "2022-05-25T10:39:15"),
    (
        "parse_datetime",
        {"formats": ["YYYY-MM-DDTHH:mm:ssZ"]},
        "2022-05-25T10:39:15Z",
        "2022-05-25T10:39:15+00:00",
    ),
    ("parse_number", {}, "$1,234.50", "1234.50"),
    ("parse_number", {"decimal": ","}, "1.234,50 €", "1234.50"),
    ("parse_number", {"decimal": ",", "grouping": " "}, "1\u202f234,5", "1234.5"),
    ("parse_number", {"grouping": "'"}, "1\u2019234", "1234"),
    ("parse_number", {}, "(12.00)", "-12.00"),
    ("parse_number", {}, "\u22125", "-5"),
    ("parse_number", {}, "5-", "-5"),
    ("parse_number", {}, "-$5", "-5"),
    ("parse_number", {}, "-0.00", "0.00"),
    ("parse_number", {}, "2.00E-02", "0.0200"),
    ("parse_number", {}, "12,34,567", "1234567"),
    ("parse_number", {"percent": "fraction"}, "95%", "0.95"),
    ("parse_number", {"percent": "keep"}, "95 %", "95"),
    ("parse_boolean", {}, "Yes", "true"),
    ("parse_boolean", {"true_words": ["da"], "false_words": ["njet"]}, "NJET", "false"),
    ("currency", {}, "eur", "EUR"),
    ("currency", {"dollar": "CAD"}, "$", "CAD"),
    ("currency", {}, "Swiss Franc", "CHF"),
    ("normalize_email", {}, "Ann Lee <Ann.Lee@Example.COM>", "ann.lee@example.com"),
    ("normalize_email", {}, "mailto:a+b@c.example?subject=x", "a+b@c.example"),
    ("normalize_email", {}, "Jörg@bücher.de", "jörg@bücher.de"),
    ("normalize_phone", {"default_country": "US"}, "(415) 555-0132", "+14155550132"),
    ("normalize_phone", {}, "+49 30 123456 ext. 12", "+4930123456x12"),
    ("normalize_phone", {"extension": "drop"}, "+49 30 123456 ext. 12", "+4930123456"),
    ("normalize_url", {}, "Example.com/", "https://example.com"),
    ("normalize_url", {}, "HTTP://Foo.de:80/A?b=1#c", "http://foo.de/A?b=1#c"),
    ("split_name", {"part": "first"}, "Dr. Ann Mary van Dyk Jr.", "Ann"),
    ("split_name", {"part": "middle"}, "Dr. Ann Mary van Dyk Jr.", "Mary"),
    ("split_name", {"part": "last"}, "Dr. Ann Mary van Dyk Jr.", "van Dyk"),
    ("split_name", {"part": "suffix"}, "Ann Lee, PhD", "PhD"),
    ("split_name", {"part": "last"}, "van Dyk, Ann Mary", "van Dyk"),
    ("split_name", {"part": "first"}, "van Dyk, Ann Mary", "Ann"),
    ("split_name", {"part": "last"}, "Cher", "Cher"),
    ("split_name", {"part": "first"}, "Cher", None),
    ("split_name", {"part": "first", "order": "family_first"}, "Mao Zedong", "Zedong"),
]


@pytest.mark.parametrize(("name", "params", "value", "result"), CASES)
def test_transforms_give(name: str, params: dict[str, Any], value: str | None, result: str | None) -> None:
    assert build(name, params).apply(value) == result


@pytest.mark.parametrize(
    ("name", "params", "value", "code"),
    [
        ("map_values", {"mapping": {"a": "b"}, "unmapped": "error"}, "z", "unmapped_value"),
        ("parse_date", {"formats": ["MM/DD/YYYY"]}, "31/12/2024", "invalid_date"),
        ("parse_datetime", {"formats": ["YYYY-MM-DD HH:mm"]}, "2024-01-01 25:00", "invalid_datetime"),
        *(
            ("parse_number", {}, bad, "invalid_number")
            for bad in ("NaN", "INF", "-INF", "1,5", "1.2.3", "LOT 5")
        ),
        *(
            ("parse_number", {}, bad, "invalid_number")
            for bad in ("95%", "--5", "1 2", "٣", "0x10", "$", ".")
        ),
        ("parse_number", {}, "1E999", "number_too_large"),
        ("parse_number", {}, "9" * 41, "number_too_large"),
        ("parse_boolean", {}, "maybe", "invalid_boolean"),
        ("currency", {}, "XYZ", "invalid_currency"),
        *(
            ("normalize_email", {}, bad, "invalid_email")
            for bad in ("x", "a@b", "a b@c.de", "@c.de", "a@.de")
        ),
        ("normalize_email", {}, "a" * 65 + "@example.com", "invalid_email"),
        ("normalize_email", {}, "<" * 900 + ">", "invalid_email"),
        ("normalize_phone", {}, "030 123456", "phone_without_country"),
        ("normalize_phone", {"default_country": "US"}, "12", "invalid_phone"),
        ("normalize_phone", {"default_country": "DE"}, "hello", "invalid_phone"),
        *(
            ("normalize_url", {}, bad, "invalid_url")
            for bad in (
                "javascript:alert(1)",
                "ftp://a.de",
                "http://u:p@a.de",
                "http://",
                "a b.de",
                "x",
                "[::1",
            )
        ),
        ("regex_replace", {"pattern": "a"}, "a" * 10_001, "value_too_long"),
    ],
)
def test_transforms_refuse(name: str, params: dict[str, Any], value: str, code: str) -> None:
    with pytest.raises(TransformError) as caught:
        build(name, params).apply(value)
    assert caught.value.code == code
    assert len(caught.value.detail) < 250


@pytest.mark.parametrize("doc", describe(), ids=lambda doc: doc.name)
def test_every_transform_is_documented(doc: Any) -> None:
    assert doc.summary.endswith(".")
    assert doc.params["type"] == "object"


def test_a_blank_value_is_no_value_wherever_kinds_are_read() -> None:
    for name, params in [
        ("parse_date", {"formats": ["YYYY-MM-DD"]}),
        ("parse_number", {}),
        ("parse_boolean", {}),
        ("currency", {}),
        ("normalize_email", {}),
        ("normalize_phone", {}),
        ("normalize_url", {}),
        ("split_name", {"part": "last"}),
    ]:
        for blank in (None, "", " \t\xa0"):
            assert build(name, params).apply(blank) is None


def test_join_leaves_blanks_out() -> None:
    join = build("join", {"separator": ", "})
    assert join.apply(" a ", None, "", "b") == "a, b"
    assert join.apply(None, " ") is None


def test_phones_are_those_of_the_vectors(data_dir: DataDir) -> None:
    forms = json.loads((data_dir("vectors") / "phones" / "written_forms.json").read_text())
    assert len(forms) > 80
    for case in forms:
        params = {"default_country": case["default_region"], "extension": "drop"}
        try:
            found = build("normalize_phone", params).apply(case["input"])
        except TransformError:
            found = None
        assert found == (case["e164"] if case.get("possible") else None), case


class TestRules:
    def test_a_chain_runs_in_order(self) -> None:
        chain = build_chain(
            [
                {"transform": "join", "separator": " "},
                {"transform": "collapse_spaces"},
                {"transform": "titlecase"},
            ]
        )
        assert chain.apply(" ann", "van  DYK ") == "Ann Van Dyk"

    def test_every_fault_is_told_with_its_path(self) -> None:
        rules = [
            {"transform": "nope"},
            {"transform": "parse_date", "formats": ["YYYY-MM-DD", "zz"]},
            {"transform": "parse_number", "decimal": ";", "extra": 1},
            {"transform": "join"},
            {"transform": "regex_replace", "pattern": "(a", "replacement": 5},
            {"transform": "lookup", "entity": "account", "match_field": "name"},
            {"transform": "trim"},
            "trim",
        ]
        with pytest.raises(RuleFaults) as caught:
            build_chain(rules, path="transformation_rules")
        assert [(fault.path, fault.code) for fault in caught.value.faults] == [
            ("transformation_rules.0.transform", "unknown_transform"),
            ("transformation_rules.1.formats.1", "invalid"),
            ("transformation_rules.2.decimal", "invalid"),
            ("transformation_rules.2.extra", "unknown_field"),
            ("transformation_rules.3", "not_first"),
            ("transformation_rules.4.pattern", "invalid"),
            ("transformation_rules.4.replacement", "invalid"),
            ("transformation_rules.6", "not_last"),
            ("transformation_rules.7", "invalid"),
        ]

    @pytest.mark.parametrize(
        ("name", "params"),
        [
            ("parse_number", {"decimal": ".", "grouping": "."}),
            ("parse_boolean", {"true_words": ["a"], "false_words": ["A"]}),
            ("map_values", {"mapping": {"a": "1", "A ": "2"}}),
            ("map_values", {"mapping": {"a": "\0"}}),
            ("regex_replace", {"pattern": "(?=a)"}),
            ("regex_replace", {"pattern": "a", "replacement": "\\1"}),
            ("regex_replace", {"pattern": "a", "replacement": "\\x"}),
            ("regex_replace", {"pattern": "a" * 501}),
            ("normalize_phone", {"default_country": "ZZ"}),
            ("currency", {"dollar": "QQQ"}),
            ("default", {"value": ""}),
            ("default", {"value": 5}),
        ],
    )
    def test_parameters_must_make_sense(self, name: str, params: dict[str, Any]) -> None:
        with pytest.raises(RuleFaults):
            build(name, params)

    def test_too_many_steps_are_refused(self) -> None:
        with pytest.raises(RuleFaults):
            build_chain([{"transform": "trim"}] * 21)

    def test_a_default_behind_a_reading_is_left_to_python(self) -> None:
        read = {"transform": "parse_number"}
        assert build_chain([read]).sql("x")
        assert build_chain([read, {"transform": "default", "value": "0"}]).sql("x") is None
        assert build_chain([{"transform": "default", "value": "0"}, read]).sql("x")

    def test_statements_grow_with_the_steps_and_no_faster(self) -> None:
        steps = [{"transform": "default", "value": "x"}, {"transform": "null_words", "words": ["a"]}]
        one, ten = (build_chain(steps * times).sql("cell") or "" for times in (1, 10))
        assert 0 < len(ten) <= 10 * len(one)

    def test_no_statement_holds_a_percent_sign(self) -> None:
        chain = build_chain(
            [
                {"transform": "null_words", "words": ["100%"]},
                {"transform": "map_values", "mapping": {"5%": "a%b"}},
                {"transform": "normalize_email"},
            ]
        )
        assert "%" not in (chain.sql("x") or "%")

    def test_hostile_patterns_take_no_time(self) -> None:
        started = time.perf_counter()
        for pattern in ("^(a+)+$", "(a|aa)+$", "(.*a){20}", "(a*)*b"):
            build("regex_replace", {"pattern": pattern}).apply("a" * 9_999 + "!")
        assert time.perf_counter() - started < 2


@given(st.text(max_size=40))
def test_no_text_breaks_a_transform(value: str) -> None:
    for name, params, _, _ in CASES:
        try:
            result = build(name, params).apply(value)
        except TransformError:
            continue
        assert result is None or isinstance(result, str)
