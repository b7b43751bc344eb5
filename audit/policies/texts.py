"""Conditions as a line of text: `is_sensitive == True and action in ["export", "read"]`.

The line is read into the JSON of the condition language; nothing in it is ever run. Comparisons are `==`, `!=`, `<`, `<=`,
`>`, `>=`, `in [...]`, `not in [...]`, `contains`, `startswith`, `endswith`, `is None` and `is not None`; they are joined by
`and`, `or`, `not` and parentheses.
"""

from __future__ import annotations

import re
from typing import Any

from core.kernel.errors import Fault, Invalid

MAX_LENGTH = 2_000
MAX_DEPTH = 20

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>-?\d{1,18}(?:\.\d{1,18})?)(?![\w.])
    | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<sign>==|!=|<=|>=|<|>|\(|\)|\[|\]|,)
    | (?P<word>[A-Za-z_]\w*(?:\.\w+)*)
    )""",
    re.VERBOSE | re.ASCII,
)
_COMPARISONS = {"==": "eq", "!=": "ne", "<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
_NAMED = ("contains", "startswith", "endswith")
_CONSTANTS = {"True": True, "true": True, "False": False, "false": False, "None": None, "null": None}
_RESERVED = {*_CONSTANTS, *_NAMED, "and", "or", "not", "in", "is"}


def read_text(text: str) -> dict[str, Any]:
    """The condition that the line says, as JSON. Which fields there are is judged when it is compiled.

    Raises: Invalid (`bad_condition`), saying where.
    """
    if len(text) > MAX_LENGTH:
        raise _refused(f"At most {MAX_LENGTH} characters are allowed.")
    return _Reader(_tokens(text)).read()


def _refused(detail: str) -> Invalid:
    return Invalid(detail, faults=[Fault("", "bad_condition", detail)])


def _tokens(text: str) -> list[tuple[str, str]]:
    found, place = [], 0
    end = len(text.rstrip())
    while place < end:
        match = _TOKEN.match(text, place)
        if match is None:
            raise _refused(f"{text[place : place + 20].strip()!r} cannot be read.")
        found.append((match.lastgroup or "", match[match.lastgroup or 0]))
        place = match.end()
    return found


class _Reader:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.tokens = tokens
        self.place = 0
        self.depth = 0

    def read(self) -> dict[str, Any]:
        found = self.either()
        if self.place < len(self.tokens):
            raise _refused(f"{self.peek()!r} is not expected there.")
        return found

    def peek(self) -> str:
        return self.tokens[self.place][1] if self.place < len(self.tokens) else ""

    def next(self) -> tuple[str, str]:
        if self.place == len(self.tokens):
            raise _refused("The condition ends too early.")
        self.place += 1
        return self.tokens[self.place - 1]

    def take(self, *words: str) -> bool:
        """Whether these come next; then they are passed."""
        if [text for _, text in self.tokens[self.place : self.place + len(words)]] != list(words):
            return False
        self.place += len(words)
        return True

    def either(self) -> dict[str, Any]:
        parts = [self.all()]
        while self.take("or"):
            parts.append(self.all())
        return parts[0] if len(parts) == 1 else {"or": parts}

    def all(self) -> dict[str, Any]:
        parts = [self.one()]
        while self.take("and"):
            parts.append(self.one())
        return parts[0] if len(parts) == 1 else {"and": parts}

    def one(self) -> dict[str, Any]:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _refused("The condition is nested too deeply.")
        try:
            if self.take("not"):
                return {"not": self.one()}
            if self.take("("):
                inner = self.either()
                if not self.take(")"):
                    raise _refused("A closing parenthesis is missing.")
                return inner
            return self.comparison()
        finally:
            self.depth -= 1

    def comparison(self) -> dict[str, Any]:
        kind, field = self.next()
        if kind != "word" or field in _RESERVED:
            raise _refused(f"The name of a field is expected, not {field!r}.")
        if self.take("is", "not"):
            return self.null(field, "is_not_null")
        if self.take("is"):
            return self.null(field, "is_null")
        if self.take("not", "in"):
            return {"field": field, "operator": "not_in", "value": self.values()}
        if self.take("in"):
            return {"field": field, "operator": "in", "value": self.values()}
        _, sign = self.next()
        operator = _COMPARISONS.get(sign) or (sign if sign in _NAMED else "")
        if not operator:
            raise _refused(f"{sign!r} is no comparison.")
        value = self.value()
        if value is None:
            if operator not in ("eq", "ne"):
                raise _refused("None can only be equal.")
            return {"field": field, "operator": "is_null" if operator == "eq" else "is_not_null"}
        return {"field": field, "operator": operator, "value": value}

    def null(self, field: str, operator: str) -> dict[str, Any]:
        if self.value() is not None:
            raise _refused("is takes None.")
        return {"field": field, "operator": operator}

    def values(self) -> list[Any]:
        if not self.take("["):
            raise _refused("A list in brackets is expected.")
        found = [self.value()]
        while self.take(","):
            found.append(self.value())
        if not self.take("]"):
            raise _refused("A closing bracket is missing.")
        return found

    def value(self) -> Any:
        kind, text = self.next()
        if kind == "number":
            # A fraction stays exact as a text, which is how JSON has amounts of money.
            return text if "." in text else int(text)
        if kind == "text":
            return re.sub(r"\\(.)", r"\1", text[1:-1])
        if kind == "word" and text in _CONSTANTS:
            return _CONSTANTS[text]
        raise _refused(f"A value is expected, not {text!r}.")
