"""What has to happen to a text before a file holds it: formulas disarmed, characters that cannot be written replaced.

`safe_text` is the one place that knows what a spreadsheet takes for a formula; every CSV of the system goes through it.
"""

from __future__ import annotations

import re

# Full-width signs count: spreadsheets fold them to the plain ones.
_SIGNS = "=+\\-@＝＋－＠"
# What a spreadsheet may skip before it looks for a formula: blanks, control characters, marks of no width, quotes, and
# the separators of other dialects.
_SKIPPED = '\x00-\x20\x7f-\xa0\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff";,|'
_OPENS_FORMULA = re.compile(f"'*(?:[\t\r\n]|[{_SKIPPED}]*[{_SIGNS}])")
# Where a program that splits cells elsewhere would start a new one. Signs followed by a blank are bullets of a list.
_INNER = "([;\t\r\n|][ \"]*'*)"
_INNER_SIGN = "(?=[=@＝＠]|[+\\-＋－]\\S)"
_INNER_FORMULA = re.compile(_INNER + _INNER_SIGN)
_INNER_DISARMED = re.compile(f"{_INNER}'{_INNER_SIGN}")
# Most texts hold none of these.
_SUSPECT = re.compile(f"[{_SIGNS}\t\r\n]")

_SURROGATES = re.compile("[\ud800-\udfff]")
# What XML, and with it a workbook and a page, cannot hold.
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
REPLACEMENT = "\ufffd"


def is_formula(text: str) -> bool:
    """Whether a spreadsheet could take the text for a formula."""
    return _SUSPECT.search(text) is not None and _OPENS_FORMULA.match(text) is not None


def safe_text(text: str) -> str:
    """The text with an apostrophe before everything that a spreadsheet would calculate. `plain_text` takes it off again."""
    if _SUSPECT.search(text) is None:
        return text
    mark = "'" if _OPENS_FORMULA.match(text) else ""
    return mark + _INNER_FORMULA.sub(r"\1'", text)


def plain_text(text: str) -> str:
    """The text that `safe_text` was given."""
    if "'" not in text:
        return text
    text = _INNER_DISARMED.sub(r"\1", text)
    return text[1:] if text[:1] == "'" and _OPENS_FORMULA.match(text) else text


def encodable(text: str) -> str:
    """The text with U+FFFD in place of lone surrogates, which UTF-8 cannot hold."""
    return text if text.isascii() else _SURROGATES.sub(REPLACEMENT, text)


def printable(text: str) -> str:
    """The text with U+FFFD in place of control characters (tabs and line ends stay) and of lone surrogates."""
    return text if text.isprintable() else _CONTROLS.sub(REPLACEMENT, text)
