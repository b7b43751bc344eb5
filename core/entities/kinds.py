"""The kinds of values a field can hold: how each is read from JSON and from text, asked for, and rendered by SQL.

One table serves API input, filters, conditions, imports and output, so that a date means the same everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orjson import Fragment

from core.entities.codes import COUNTRY_CODES, CURRENCY_CODES

if TYPE_CHECKING:
    from core.entities.registry import Field


class Kind(StrEnum):
    TEXT = "text"
    LONG_TEXT = "long_text"
    EMAIL = "email"
    PHONE = "phone"
    URL = "url"
    COUNTRY = "country"
    CURRENCY = "currency"
    CHOICE = "choice"
    INTEGER = "integer"
    DECIMAL = "decimal"
    MONEY = "money"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"
    UUID = "uuid"
    RELATION = "relation"
    PERSON = "person"
    TAGS = "tags"
    JSON = "json"


class BadValue(Exception):
    """A value does not fit its field; `code` is stable, the text is for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


# The same patterns run in Python and in PostgreSQL: plain character classes only.
EMAIL_PATTERN = r"^[^@\s,;<>()\[\]\\\"]+@[^@\s,;<>()\[\]\\\".]+(\.[^@\s,;<>()\[\]\\\".]+)+$"
URL_PATTERN = r"^([Hh][Tt][Tt][Pp][Ss]?://)?[^\s:/?#<>\"]+(:[0-9]+)?([/?#][^\s<>\"]*)?$"
_EMAIL = re.compile(EMAIL_PATTERN)
_URL = re.compile(URL_PATTERN)
_DATE = re.compile(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
_INTEGER = re.compile(r"^[+-]?[0-9]{1,18}$")
# A NUL cannot be stored as text; a lone surrogate cannot be written as UTF-8.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
MAX_INTEGER = 2**31 - 1
MAX_TAGS = 50
MAX_TAG_LENGTH = 64
MAX_LONG_TEXT = 100_000

COMPARED = frozenset(
    {"eq", "ne", "in", "not_in", "gt", "gte", "lt", "lte", "between", "is_null", "is_not_null"}
)
MATCHED = frozenset({"contains", "not_contains", "startswith", "endswith"})
IDENTIFIED = frozenset({"eq", "ne", "in", "not_in", "is_null", "is_not_null"})
HELD = frozenset({"contains", "not_contains", "eq", "in", "is_null", "is_not_null"})
NULLNESS = frozenset({"is_null", "is_not_null"})


@dataclass(frozen=True, slots=True)
class KindType:
    """How one kind behaves. `from_json` takes a decoded JSON value, `from_text` a query parameter or a file's cell; `to_json`
    makes of a value as PostgreSQL writes it (text, whole number, boolean, list of texts) what JSON shows; none where that is
    the same."""

    from_json: Callable[[Field, Any], Any]
    from_text: Callable[[Field, str], Any]
    operators: frozenset[str]
    # The PostgreSQL type of a parameter of this kind.
    sql_type: str
    is_text: bool = False
    is_number: bool = False
    to_json: Callable[[str], Any] | None = None


def _text(field: Field, value: Any) -> str:
    if not isinstance(value, str):
        raise BadValue("not_text", "A text is expected.")
    # What can be printed can be stored, and is told quickly.
    if not value.isprintable() and _UNSTORABLE.search(value):
        raise BadValue(
            "invalid_characters", "The text holds characters that cannot be stored (NUL or a lone surrogate)."
        )
    limit = field.max_length or MAX_LONG_TEXT
    if len(value) > limit:
        raise BadValue("too_long", f"At most {limit} characters are allowed; this has {len(value)}.")
    return value


def _patterned(pattern: re.Pattern[str], code: str, detail: str) -> Callable[[Field, Any], str]:
    def read(field: Field, value: Any) -> str:
        text = _text(field, value)
        if text and not pattern.fullmatch(text):
            raise BadValue(code, detail)
        return text

    return read


def _coded(codes: frozenset[str], code: str, what: str) -> Callable[[Field, Any], str]:
    def read(field: Field, value: Any) -> str:
        if isinstance(value, str) and value and value not in codes:
            raise BadValue(code, f"{value[:40]!r} is not {what}.")
        return _text(field, value)

    return read


def _choice(field: Field, value: Any) -> str:
    text = _text(field, value)
    if text not in field.choice_values and not (text == "" and not field.required):
        raise BadValue("not_a_choice", f"Choose one of: {', '.join(field.choice_values)}.")
    return text


def _integer(field: Field, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise BadValue("not_an_integer", "A whole number is expected.")
    if isinstance(value, Decimal):
        if not value.is_finite() or abs(value) > MAX_INTEGER or value != value.to_integral_value():
            raise BadValue("not_an_integer", "A whole number is expected.")
        value = int(value)
    return _bounded(field, value)


def _bounded(field: Field, value: int) -> int:
    low, high = field.minimum, field.maximum
    if low is not None and value < low:
        raise BadValue("too_small", f"At least {low} is expected.")
    if value > (MAX_INTEGER if high is None else high) or value < -MAX_INTEGER:
        raise BadValue("too_large", f"At most {MAX_INTEGER if high is None else high} is allowed.")
    return value


def _integer_text(field: Field, text: str) -> int:
    if not _INTEGER.match(text.strip()):
        raise BadValue("not_an_integer", "A whole number is expected.")
    return _bounded(field, int(text))


def _decimal(field: Field, value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise BadValue("not_a_number", "A decimal number, best as a text, is expected.")
    try:
        number = Decimal(value.strip() if isinstance(value, str) else value)
    except InvalidOperation:
        raise BadValue("not_a_number", "A decimal number, best as a text, is expected.") from None
    if not number.is_finite() or (isinstance(value, str) and "_" in value):
        raise BadValue("not_a_number", "A finite decimal number is expected.")
    whole = field.max_digits - field.decimal_places
    if number and number.adjusted() >= whole:
        raise BadValue("too_large", f"At most {whole} digits before the point are allowed.")
    rounded = round(number, field.decimal_places) if number.as_tuple().exponent > -64 else None  # type: ignore[operator]
    if rounded is None or rounded != number:
        raise BadValue("too_precise", f"At most {field.decimal_places} decimal places are allowed.")
    if field.minimum is not None and number < field.minimum:
        raise BadValue("too_small", f"At least {field.minimum} is expected.")
    return rounded


def _boolean(field: Field, value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadValue("not_a_boolean", "true or false is expected.")
    return value


def _boolean_text(field: Field, text: str) -> bool:
    found = {"true": True, "false": False, "1": True, "0": False}.get(text.strip().lower())
    if found is None:
        raise BadValue("not_a_boolean", "true or false is expected.")
    return found


def _date(field: Field, value: Any) -> date:
    if not isinstance(value, str) or not _DATE.match(value):
        raise BadValue("not_a_date", "A date as YYYY-MM-DD is expected.")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise BadValue("not_a_date", "There is no such day in the calendar.") from None


def _datetime(field: Field, value: Any) -> datetime:
    if not isinstance(value, str) or len(value) < len("2026-01-01T00:00Z") or value[10] not in "T ":
        raise BadValue("not_a_datetime", "A time as YYYY-MM-DDThh:mm:ssZ is expected.")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise BadValue("not_a_datetime", "A time as YYYY-MM-DDThh:mm:ssZ is expected.") from None
    if moment.tzinfo is None:
        raise BadValue("zone_missing", "Say the time zone: Z or an offset such as +02:00.")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise BadValue("not_a_datetime", "The time is outside the calendar.") from None


def _datetime_text(field: Field, text: str) -> datetime:
    # In a query parameter a bare date means its midnight in UTC, and "+" arrives as a space.
    if _DATE.match(text):
        return datetime.combine(_date(field, text), datetime.min.time(), UTC)
    return _datetime(field, re.sub(r" (\d\d:?\d\d)$", r"+\1", text))


def _uuid(field: Field, value: Any) -> UUID:
    if isinstance(value, str) and len(value) in (32, 36):
        try:
            return UUID(value)
        except ValueError:
            pass
    raise BadValue("not_an_id", "An id (UUID) is expected.")


def _tags(field: Field, value: Any) -> list[str]:
    if not isinstance(value, list):
        raise BadValue("not_a_list", "A list of tag names is expected.")
    if len(value) > MAX_TAGS:
        raise BadValue("too_many", f"At most {MAX_TAGS} tags are allowed.")
    names: dict[str, str] = {}
    for item in value:
        name = _text(field, item).strip()
        if not name or len(name) > MAX_TAG_LENGTH or "," in name:
            raise BadValue("not_a_tag", f"A tag has 1 to {MAX_TAG_LENGTH} characters and no comma.")
        names.setdefault(name.lower(), name)
    return list(names.values())


def _tags_text(field: Field, text: str) -> list[str]:
    return _tags(field, [part for part in (part.strip() for part in text.split(",")) if part])


def _json(field: Field, value: Any) -> Any:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str) and _UNSTORABLE.search(item):
            raise BadValue("invalid_characters", "A text inside holds characters that cannot be stored.")
        if isinstance(item, dict):
            stack += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            stack += item
    return value


def _no_text_form(field: Field, text: str) -> Any:
    raise BadValue("not_supported", "This field cannot be given as a text.")


def _as_utc(written: str) -> str:
    """A time as PostgreSQL writes it in UTC, as ISO 8601 with Z."""
    return f"{written[:10]}T{written[11:-3]}Z"


_text_kind = KindType(_text, _text, COMPARED | MATCHED, "text", is_text=True)
_email = _patterned(_EMAIL, "not_an_email", "An e-mail address such as name@example.com is expected.")
_url = _patterned(_URL, "not_a_url", "A web address such as https://example.com is expected.")
_country = _coded(COUNTRY_CODES, "not_a_country", "a two-letter country code (ISO 3166), such as DE")
_currency = _coded(CURRENCY_CODES, "not_a_currency", "a currency code (ISO 4217), such as EUR")

KINDS: dict[Kind, KindType] = {
    Kind.TEXT: _text_kind,
    Kind.LONG_TEXT: KindType(_text, _text, MATCHED | NULLNESS, "text", is_text=True),
    Kind.EMAIL: KindType(_email, _email, COMPARED | MATCHED, "text", is_text=True),
    Kind.PHONE: _text_kind,
    Kind.URL: KindType(_url, _url, COMPARED | MATCHED, "text", is_text=True),
    Kind.COUNTRY: KindType(_country, _country, IDENTIFIED, "text", is_text=True),
    Kind.CURRENCY: KindType(_currency, _currency, IDENTIFIED, "text", is_text=True),
    Kind.CHOICE: KindType(_choice, _choice, IDENTIFIED, "text", is_text=True),
    Kind.INTEGER: KindType(_integer, _integer_text, COMPARED, "bigint", is_number=True),
    Kind.DECIMAL: KindType(_decimal, _decimal, COMPARED, "numeric", is_number=True),
    Kind.MONEY: KindType(_decimal, _decimal, COMPARED, "numeric", is_number=True),
    Kind.BOOLEAN: KindType(_boolean, _boolean_text, IDENTIFIED, "boolean"),
    Kind.DATE: KindType(_date, _date, COMPARED, "date"),
    Kind.DATETIME: KindType(_datetime, _datetime_text, COMPARED, "timestamptz", to_json=_as_utc),
    Kind.UUID: KindType(_uuid, _uuid, IDENTIFIED, "uuid"),
    Kind.RELATION: KindType(_uuid, _uuid, IDENTIFIED, "uuid"),
    Kind.PERSON: KindType(_uuid, _uuid, IDENTIFIED, "uuid"),
    Kind.TAGS: KindType(_tags, _tags_text, HELD, "text[]"),
    Kind.JSON: KindType(_json, _no_text_form, NULLNESS, "jsonb", to_json=Fragment),
}


def read_value(field: Field, sent: Any) -> Any:
    """A decoded JSON value as the field's value, null and blank included.

    Raises: BadValue.
    """
    if sent is None:
        if field.nullable:
            return None
        raise BadValue("null", "This field cannot be null.")
    value = field.type.from_json(field, sent)
    if field.required and isinstance(value, str) and not value.strip():
        raise BadValue("required", "This field cannot be blank.")
    return value
