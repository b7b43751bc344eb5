"""What each kind of field demands of a canonical text, as SQL: the same rules and limits as `core.entities.kinds`.

`tests/data_import/test_verdicts.py` holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from core.entities import Field
from core.entities.kinds import EMAIL_PATTERN, MAX_INTEGER, MAX_LONG_TEXT, URL_PATTERN, Kind
from data_import.engine.formats import WHITESPACE
from data_import.engine.transforms import sql

_UUID = "^([0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$"
# What Python's \s matches; PostgreSQL's depends on the collation.
_SPACES = "".join(character for character in map(chr, range(0x3001)) if character.isspace())


@dataclass(frozen=True, slots=True)
class ValueCheck:
    """`when` (SQL over `{v}`, the value) means that the value is refused, with this code and sentence."""

    code: str
    detail: str
    when: str


def _pattern(text: str) -> str:
    """A pattern of Python's as a constant of PostgreSQL's, spaces spelled out."""
    return sql.literal(text.replace(r"\s", "".join(f"\\u{ord(space):04X}" for space in _SPACES)))


def _text(field: Field) -> Iterator[ValueCheck]:
    limit = field.max_length or MAX_LONG_TEXT
    yield ValueCheck("too_long", f"At most {limit} characters are allowed.", f"length({{v}}) > {limit}")


def _email(field: Field) -> Iterator[ValueCheck]:
    yield from _text(field)
    detail = "An e-mail address such as name@example.com is expected."
    yield ValueCheck("not_an_email", detail, f"{{v}} !~ {_braced(_pattern(EMAIL_PATTERN))}")


def _url(field: Field) -> Iterator[ValueCheck]:
    yield from _text(field)
    detail = "A web address such as https://example.com is expected."
    yield ValueCheck("not_a_url", detail, f"{{v}} !~ {_braced(_pattern(URL_PATTERN))}")


def _listed(code: str, detail: str, values: tuple[str, ...]) -> ValueCheck:
    return ValueCheck(code, detail, f"{{v}} NOT IN ({_braced(sql.array(values))})" if values else "true")


def _choice(field: Field) -> Iterator[ValueCheck]:
    values = field.choice_values
    yield _listed("not_a_choice", f"Choose one of: {', '.join(values)}.", values)


def _country(field: Field) -> Iterator[ValueCheck]:
    from core.entities.codes import COUNTRY_CODES

    detail = "A country or its two-letter code (ISO 3166) is expected."
    yield _listed("not_a_country", detail, tuple(sorted(COUNTRY_CODES)))


def _currency(field: Field) -> Iterator[ValueCheck]:
    from core.entities.codes import CURRENCY_CODES

    detail = "A currency code (ISO 4217), such as EUR, is expected."
    yield _listed("not_a_currency", detail, tuple(sorted(CURRENCY_CODES)))


_NUMBER = r"^[-+]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][-+]?[0-9]{1,3})?$"


def _number(code: str, detail: str) -> ValueCheck:
    return ValueCheck(code, detail, f"{{v}} !~ {_braced(sql.literal(_NUMBER))} OR length({{v}}) > 400")


def _integer(field: Field) -> Iterator[ValueCheck]:
    detail = "A whole number is expected."
    yield _number("not_an_integer", detail)
    yield ValueCheck("not_an_integer", detail, "{v}::numeric <> trunc({v}::numeric)")
    if field.minimum is not None:
        yield ValueCheck(
            "too_small", f"At least {field.minimum} is expected.", f"{{v}}::numeric < {field.minimum}"
        )
    high = MAX_INTEGER if field.maximum is None else field.maximum
    yield ValueCheck(
        "too_large",
        f"At most {high} is allowed.",
        f"{{v}}::numeric > {high} OR {{v}}::numeric < {-MAX_INTEGER}",
    )


def _decimal(field: Field) -> Iterator[ValueCheck]:
    yield _number("not_a_number", "A number is expected.")
    whole, places = field.max_digits - field.decimal_places, field.decimal_places
    yield ValueCheck(
        "too_large",
        f"At most {whole} digits before the point are allowed.",
        f"abs({{v}}::numeric) >= 1e{whole}::numeric",
    )
    yield ValueCheck(
        "too_precise",
        f"At most {places} decimal places are allowed.",
        f"round({{v}}::numeric, {places}) <> {{v}}::numeric",
    )
    if field.minimum is not None:
        yield ValueCheck(
            "too_small", f"At least {field.minimum} is expected.", f"{{v}}::numeric < {field.minimum}"
        )


def _boolean(field: Field) -> Iterator[ValueCheck]:
    yield _listed("not_a_boolean", "Yes or no is expected.", ("true", "false"))


def _date(field: Field) -> Iterator[ValueCheck]:
    shape = sql.literal("^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
    yield ValueCheck(
        "not_a_date",
        "A date is expected.",
        f"{{v}} !~ {_braced(shape)} OR NOT pg_input_is_valid({{v}}, 'date')",
    )


def _datetime(field: Field) -> Iterator[ValueCheck]:
    shape = sql.literal(
        "^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?([Zz]|[-+][0-9]{2}:?[0-9]{2})?$"
    )
    yield ValueCheck(
        "not_a_datetime",
        "A date with a time is expected.",
        f"{{v}} !~ {_braced(shape)} OR NOT pg_input_is_valid({{v}}, 'timestamptz')",
    )


def _uuid(field: Field) -> Iterator[ValueCheck]:
    yield ValueCheck("not_an_id", "An id (UUID) is expected.", f"{{v}} !~ {_braced(sql.literal(_UUID))}")


def _nothing(field: Field) -> Iterator[ValueCheck]:
    return iter(())


_CHECKS: dict[Kind, Callable[[Field], Iterator[ValueCheck]]] = {
    Kind.TEXT: _text,
    Kind.LONG_TEXT: _text,
    Kind.PHONE: _text,
    Kind.EMAIL: _email,
    Kind.URL: _url,
    Kind.COUNTRY: _country,
    Kind.CURRENCY: _currency,
    Kind.CHOICE: _choice,
    Kind.INTEGER: _integer,
    Kind.DECIMAL: _decimal,
    Kind.MONEY: _decimal,
    Kind.BOOLEAN: _boolean,
    Kind.DATE: _date,
    Kind.DATETIME: _datetime,
    Kind.UUID: _uuid,
    # References are resolved, tags read by Python; what is left of them is sound.
    Kind.RELATION: _nothing,
    Kind.PERSON: _nothing,
    Kind.TAGS: _nothing,
}

# Kinds whose cells can be read at all.
READABLE = frozenset(_CHECKS)


def checks_of(field: Field) -> tuple[ValueCheck, ...]:
    """What a value of the field must meet, in the order in which the first one refused counts."""
    return tuple(_CHECKS[field.kind](field))


def _braced(text: str) -> str:
    """Text that will go through `str.format`."""
    return text.replace("{", "{{").replace("}", "}}")


def verdict(checks: tuple[ValueCheck, ...], value: str) -> str:
    """SQL: the code of the first check that refuses the value; null for none, and for no value."""
    if not checks:
        return "NULL::text"
    cases = " ".join(f"WHEN {check.when.format(v=value)} THEN '{check.code}'" for check in checks)
    return f"CASE WHEN {value} IS NULL THEN NULL {cases} END"


def canonical(field: Field, value: str) -> str:
    """SQL: a value that its checks accept, as the text that is kept."""
    if field.kind is Kind.INTEGER:
        return f"trunc({value}::numeric)::bigint::text"
    if field.kind in (Kind.DECIMAL, Kind.MONEY):
        return f"round({value}::numeric, {field.decimal_places})::text"
    return value


def stripped(value: str) -> str:
    return sql.trimmed(value)


__all__ = ["READABLE", "WHITESPACE", "ValueCheck", "canonical", "checks_of", "stripped", "verdict"]
