"""Transforms of text as text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import re2
from pydantic import Field, PrivateAttr, field_validator

from data_import.engine.formats import WHITESPACE
from data_import.engine.limits import MAX_CELL_CHARS
from data_import.engine.transforms import sql
from data_import.engine.transforms.base import (
    Text,
    Transform,
    TransformError,
    is_blank,
    shown,
    simple_lower,
    simple_upper,
)

_SPACES = re.compile(f"[{re.escape(WHITESPACE)}]+")

Word = Annotated[str, Field(max_length=1_000, pattern=r"^[^\x00]*$")]


class Trim(Transform):
    name = "trim"
    summary = "Takes white space, invisible characters included, off both ends."

    def apply(self, *values: Text) -> Text:
        return values[0].strip(WHITESPACE) if values[0] is not None else None

    def sql(self, *expressions: str) -> str:
        return sql.trimmed(expressions[0])


class CollapseSpaces(Transform):
    name = "collapse_spaces"
    summary = "Trims, and makes one space of each run of white space inside."

    def apply(self, *values: Text) -> Text:
        return _SPACES.sub(" ", values[0].strip(WHITESPACE)) if values[0] is not None else None

    def sql(self, *expressions: str) -> str:
        spaces = sql.literal(f"[{WHITESPACE}]+")
        return f"regexp_replace({sql.trimmed(expressions[0])}, {spaces}, ' ', 'g')"


class Lowercase(Transform):
    name = "lowercase"
    summary = "Lower case."

    def apply(self, *values: Text) -> Text:
        return simple_lower(values[0]) if values[0] is not None else None

    def sql(self, *expressions: str) -> str:
        return sql.lowered(expressions[0])


class Uppercase(Transform):
    name = "uppercase"
    summary = "Upper case."

    def apply(self, *values: Text) -> Text:
        return simple_upper(values[0]) if values[0] is not None else None

    def sql(self, *expressions: str) -> str:
        return sql.raised(expressions[0])


_WORD = re.compile(r"[^\W\d_]+")
_ELIDED = re.compile(r"(?:^|[\s-])[^\W\d_]['\u2019]\Z")


class Titlecase(Transform):
    name = "titlecase"
    summary = "A capital at the start of each word, as in O'Neil, McDonald, Jean-Luc; the rest lower case."

    def apply(self, *values: Text) -> Text:
        value = values[0]
        if value is None:
            return None

        def cased(match: re.Match[str]) -> str:
            word = match[0].lower()
            before = value[: match.start()]
            if before[-1:] in {"'", "\u2019"} and not _ELIDED.search(before[-3:]):
                return word
            if len(word) > 3 and word.startswith("mc"):
                return "Mc" + word[2:].capitalize()
            return word[0].title() + word[1:]

        return _WORD.sub(cased, value)


class NullWords(Transform):
    name = "null_words"
    summary = "Takes the given words (NULL, N/A, -) for no value. Without it they are data."

    words: tuple[Word, ...] = Field(min_length=1, max_length=100)
    case_sensitive: bool = True

    def apply(self, *values: Text) -> Text:
        value = values[0]
        if value is None:
            return None
        word = value.strip(WHITESPACE)
        if self.case_sensitive:
            return None if word in self.words else value
        return None if simple_lower(word) in set(map(simple_lower, self.words)) else value

    def sql(self, *expressions: str) -> str:
        words = self.words if self.case_sensitive else tuple(map(simple_lower, self.words))

        def body(value: str) -> str:
            word = sql.trimmed(value) if self.case_sensitive else sql.lowered(sql.trimmed(value))
            return f"CASE WHEN {word} IN ({sql.array(words)}) THEN NULL ELSE {value} END"

        return sql.once(expressions[0], body)


class MapValues(Transform):
    name = "map_values"
    summary = "Replaces whole values by others, compared trimmed; `unmapped` says what happens to the rest."

    mapping: Mapping[Word, Word] = Field(min_length=1, max_length=5_000)
    case_sensitive: bool = False
    unmapped: Literal["keep", "null", "error"] = "keep"

    partial: ClassVar[bool] = True
    _table: dict[str, str] = PrivateAttr(default_factory=dict)

    def model_post_init(self, context: Any, /) -> None:
        for key, value in self.mapping.items():
            key = self._key(key)
            if self._table.setdefault(key, value) != value:
                raise ValueError(f"{shown(key)} is mapped twice.")

    def _key(self, value: str) -> str:
        value = value.strip(WHITESPACE)
        return value if self.case_sensitive else simple_lower(value)

    def apply(self, *values: Text) -> Text:
        value = values[0]
        if value is None or (value.strip(WHITESPACE) == "" and "" not in self._table):
            return value if self.unmapped == "keep" else None
        found = self._table.get(self._key(value))
        if found is None:
            if self.unmapped == "error":
                raise TransformError("unmapped_value", f"{shown(value)} is not in the list of values.")
            return value if self.unmapped == "keep" else None
        return found

    def sql(self, *expressions: str) -> str | None:
        if len(self._table) > 200:
            return None
        cases = " ".join(f"WHEN {sql.literal(key)} THEN {sql.literal(to)}" for key, to in self._table.items())

        def body(value: str) -> str:
            key = sql.trimmed(value) if self.case_sensitive else sql.lowered(sql.trimmed(value))
            return f"CASE {key} {cases} ELSE {value if self.unmapped == 'keep' else 'NULL'} END"

        return sql.once(expressions[0], body)


class Default(Transform):
    name = "default"
    summary = "Puts a value where there is none or only white space."

    value: Word = Field(min_length=1)
    fills_blanks: ClassVar[bool] = True

    def apply(self, *values: Text) -> Text:
        return self.value if is_blank(values[0]) else values[0]

    def sql(self, *expressions: str) -> str:
        def body(value: str) -> str:
            filled = f"coalesce({sql.trimmed(value)}, '') <> ''"
            return f"CASE WHEN {filled} THEN {value} ELSE {sql.literal(self.value)} END"

        return sql.once(expressions[0], body)


class Join(Transform):
    name = "join"
    summary = "Joins the values of several columns, blank ones left out."

    separator: Annotated[Word, Field(max_length=20)] = " "
    many: ClassVar[bool] = True

    def apply(self, *values: Text) -> Text:
        parts = [value.strip(WHITESPACE) for value in values if value is not None]
        return self.separator.join(filter(None, parts)) or None

    def sql(self, *expressions: str) -> str:
        parts = ", ".join(f"NULLIF({sql.trimmed(expression)}, '')" for expression in expressions)
        return f"NULLIF(concat_ws({sql.literal(self.separator)}, {parts}), '')"


_MAX_REGEX_INPUT = 10_000


class RegexReplace(Transform):
    name = "regex_replace"
    summary = (
        "Replaces what a regular expression (RE2 syntax, linear time, no look-around) finds; \\1 to \\9 "
        f"stand for groups. Values beyond {_MAX_REGEX_INPUT:,} characters are refused."
    )

    pattern: str = Field(min_length=1, max_length=500)
    replacement: Annotated[Word, Field(max_length=500)] = ""
    case_sensitive: bool = True

    _compiled: Any = PrivateAttr(default=None)

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        _compile(pattern, True)
        return pattern

    def model_post_init(self, context: Any, /) -> None:
        self._compiled = _compile(self.pattern, self.case_sensitive)
        groups = [int(digit) for digit in re.findall(r"\\([0-9])", self.replacement.replace("\\\\", ""))]
        if groups and max(groups) > self._compiled.groups:
            raise ValueError(f"The replacement names group {max(groups)}, which the pattern lacks.")
        if re.search(r"\\(?![0-9\\])", self.replacement.replace("\\\\", "")):
            raise ValueError("In a replacement a backslash stands before a digit or another backslash.")

    def apply(self, *values: Text) -> Text:
        value = values[0]
        if value is None:
            return None
        if len(value) > _MAX_REGEX_INPUT:
            raise TransformError("value_too_long", f"Longer than {_MAX_REGEX_INPUT:,} characters.")
        result: str = self._compiled.sub(self._expand, value)
        if len(result) > MAX_CELL_CHARS:
            raise TransformError(
                "value_too_long", f"The result is longer than {MAX_CELL_CHARS:,} characters."
            )
        return result

    def _expand(self, match: Any) -> str:
        def part(found: re.Match[str]) -> str:
            return "\\" if found[1] == "\\" else match.group(int(found[1])) or ""

        return _BACKSLASHED.sub(part, self.replacement)


_BACKSLASHED = re.compile(r"\\([0-9\\])")


def _compile(pattern: str, case_sensitive: bool) -> Any:
    options = re2.Options()
    options.max_mem = 1024 * 1024
    options.log_errors = False
    options.case_sensitive = case_sensitive
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else "it does not compile"
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"The regular expression is not usable: {text}.") from error


class UnescapeFormula(Transform):
    name = "unescape_formula"
    summary = "Takes off the apostrophe that exports put before = + - @, tab and line end to disarm formulas."

    def apply(self, *values: Text) -> Text:
        value = values[0]
        if value is not None and value[:1] == "'" and value[1:2] and value[1] in "=+-@\t\r":
            return value[1:]
        return value

    def sql(self, *expressions: str) -> str:
        triggers = sql.array("=+-@\t\r")
        return sql.once(
            expressions[0],
            lambda value: (
                f"CASE WHEN left({value}, 1) = '''' AND substr({value}, 2, 1) IN ({triggers}) "
                f"THEN substr({value}, 2) ELSE {value} END"
            ),
        )
