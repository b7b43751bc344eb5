"""Safe PostgreSQL text for the few places where values of a template go into a statement."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from data_import.engine.formats import WHITESPACE

CASE_COLLATION = '"pg_catalog"."pg_c_utf8"'
"""Simple Unicode case mapping, whatever the collation of the database is."""


def literal(text: str) -> str:
    """A text constant. It holds no percent sign and no control character in plain, so the statement may go
    through drivers that format with `%` and through logs. Raises ValueError for what text cannot hold."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("PostgreSQL text holds neither NUL nor surrogates.")
    quoted = text.replace("'", "''")
    if "%" not in text and text.isprintable():
        return f"'{quoted}'"
    escaped = "".join(
        "\\\\"
        if character == "\\"
        else character
        if character.isprintable() and character != "%"
        else f"\\{ord(character):04X}"
        if ord(character) < 0x10000
        else f"\\+{ord(character):06X}"
        for character in quoted
    )
    return f"U&'{escaped}'"


def array(texts: Iterable[str]) -> str:
    """A list of constants for `IN (…)`."""
    return ", ".join(map(literal, texts))


def trimmed(expression: str) -> str:
    return f"btrim({expression}, {literal(WHITESPACE)})"


def lowered(expression: str) -> str:
    return f"lower(({expression}) COLLATE {CASE_COLLATION})"


def raised(expression: str) -> str:
    return f"upper(({expression}) COLLATE {CASE_COLLATION})"


def once(expression: str, body: Callable[[str], str], *, name: str = "_cell") -> str:
    """`body` over a name that stands for `expression`, which is written and evaluated a single time.

    Without it chains would double in length with each step. OFFSET 0 keeps the planner from undoing it. A body
    that uses the value of another `once` around it needs a `name` of its own.
    """
    return f"(SELECT {body(f'{name}.v')} FROM (SELECT {expression} AS v OFFSET 0) AS {name})"
