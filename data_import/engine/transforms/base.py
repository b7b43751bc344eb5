"""What a transform is."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from data_import.engine.formats import WHITESPACE

Text = str | None


class TransformError(ValueError):
    """One value does not fit; `code` is stable, `detail` is for people and holds no more than 60 characters
    of the value."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Transform(BaseModel):
    """Parameters (the fields) and meaning of one transform.

    Values are texts or None (no value); results are canonical texts: dates `YYYY-MM-DD`, moments ISO 8601,
    numbers plain decimals, booleans `true` and `false`. A blank value gives None wherever a transform reads
    a kind of value.

    `sql` gives a PostgreSQL expression over text expressions, or None. Where that is not NULL it equals
    `apply`; where it is NULL, `apply` gives None **or** has to be asked (`partial`): it knows more ways to
    write the value and names the fault.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: ClassVar[str]
    summary: ClassVar[str]
    many: ClassVar[bool] = False
    """Whether it takes several columns."""
    partial: ClassVar[bool] = False
    fills_blanks: ClassVar[bool] = False
    """Whether it turns no value into a value."""
    by_pipeline: ClassVar[bool] = False
    """Whether it needs the database and is only declared here."""

    def apply(self, *values: Text) -> Text:
        """The value for one cell (for `many`: of several). Raises `TransformError`."""
        raise NotImplementedError

    def sql(self, *expressions: str) -> str | None:
        return None

    def model_post_init(self, context: Any, /) -> None:
        """Subclasses compile their parameters here and raise ValueError where they make no sense."""


def is_blank(value: Text) -> bool:
    return value is None or not value.strip(WHITESPACE)


def simple_lower(text: str) -> str:
    """Lower case, one character for one, as PostgreSQL maps it."""
    if text.isascii():
        return text.lower()
    return "".join("i" if char == "\u0130" else char.lower() for char in text)


def simple_upper(text: str) -> str:
    """Upper case, one character for one, as PostgreSQL maps it (`ß` stays)."""
    if text.isascii():
        return text.upper()
    return "".join(map(_upper_char, text))


def _upper_char(char: str) -> str:
    upper = char.upper()
    if len(upper) == 1:
        return upper
    title = char.title()
    return title if len(title) == 1 else char


def shown(value: str) -> str:
    """A value as it may stand in an error."""
    return repr(value if len(value) <= 60 else value[:59] + "…")
