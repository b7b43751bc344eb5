"""JSON Schema of one field: as it is shown, as it is written, as a list is asked for it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter

from core.conditions.operators import OPERATORS, Operand
from core.conditions.params import SUFFIXES
from core.conditions.periods import WORDS
from core.conditions.schema import MAX_TEXT
from core.entities import Field
from core.entities.codes import COUNTRY_CODES, CURRENCY_CODES
from core.entities.kinds import (
    EMAIL_PATTERN,
    MAX_INTEGER,
    MAX_LONG_TEXT,
    MAX_TAG_LENGTH,
    MAX_TAGS,
    URL_PATTERN,
    Kind,
)

Schema = dict[str, Any]

NULL: Schema = {"type": "null"}
# Any text PostgreSQL can hold; one that says something.
TEXT = r"^[^\u0000]*$"
FILLED = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"
# A tag, and a value among several that commas separate.
TAG = r"^[^\u0000,]*[^\s\u0000,][^\u0000,]*$"
WHOLE = "-?(0|[1-9][0-9]{0,8})"
# Years 1 to 9999; a time needs room for its offset.
_DATE_YEARS = "^(?!0000)"
_DATETIME_YEARS = "^(?!000[01]|9999)"
_DAY = "[1-9][0-9]{3}-((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)"
_TIME = r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?Z"
_UUID = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"

DIGITS = r"^-?[0-9]+(\.[0-9]+)?$"

DATE: Schema = {"type": "string", "format": "date"}
DATETIME: Schema = {"type": "string", "format": "date-time"}
UUID: Schema = {"type": "string", "format": "uuid"}
VERSION: Schema = {"type": "integer", "minimum": 1, "maximum": MAX_INTEGER}


def _portable(pattern: str) -> str:
    """Our patterns as ECMA 262 reads them; what no text may hold is excluded."""
    return pattern.replace('\\"', '"').replace("[^", r"[^\u0000")


EMAIL = _portable(EMAIL_PATTERN)
URL = _portable(URL_PATTERN)


def or_null(schema: Schema) -> Schema:
    """The schema, or null."""
    if not schema:
        return schema
    if not isinstance(schema.get("type"), str):
        return {"anyOf": [schema, NULL]}
    nullable = {**schema, "type": [schema["type"], "null"]}
    if "enum" in schema:
        nullable["enum"] = [*schema["enum"], None]
    return nullable


def _described(field: Field, schema: Schema) -> Schema:
    if field.label.lower() != field.name.replace("_", " "):
        schema = {"title": field.label, **schema}
    return {**schema, "description": field.description} if field.description else schema


# --- shown ---------------------------------------------------------------------------------------------------------


def shown(field: Field) -> Schema:
    """The field in an answer."""
    schema = _shown(field)
    if field.nullable:
        schema = or_null(schema)
    if field.read_only:
        schema = {**schema, "readOnly": True}
    return _described(field, schema)


def _shown(field: Field) -> Schema:
    match field.kind:
        case Kind.CHOICE if field.choices:
            return {"type": "string", "enum": _choices(field)}
        case Kind.INTEGER:
            return {"type": "integer"}
        case Kind.MONEY:
            return {"$ref": "#/components/schemas/Money"}
        case Kind.DECIMAL:
            return {"type": "string", "pattern": DIGITS}
        case Kind.BOOLEAN:
            return {"type": "boolean"}
        case Kind.DATE:
            return DATE
        case Kind.DATETIME:
            return DATETIME
        case Kind.UUID | Kind.RELATION | Kind.PERSON:
            return UUID
        case Kind.TAGS:
            return {"type": "array", "items": {"type": "string"}}
        case Kind.JSON:
            return _json_schema(field.json_type)
    return {"type": "string"}


def _json_schema(json_type: Any) -> Schema:
    """Its definitions are lifted out where the document takes the schema (`components.Components.add`)."""
    if json_type is None:
        return {}
    return TypeAdapter(json_type).json_schema(ref_template="#/components/schemas/{model}")


def _choices(field: Field) -> list[str]:
    may_be_blank = not field.required and not field.nullable and field.default in ("", None)
    return [*field.choice_values, *([""] if may_be_blank and "" not in field.choice_values else [])]


# --- written -------------------------------------------------------------------------------------------------------


def written(field: Field) -> Schema:
    """The field in a document that a client sends. What it is when left out is said in words: see `components`."""
    schema = _written(field)
    if field.nullable:
        schema = or_null(schema)
    schema = _described(field, schema)
    if field.default in (None, "", [], {}) or not isinstance(field.default, str | int | bool):
        return schema
    default = str(field.default).lower() if field.kind is Kind.BOOLEAN else str(field.default)
    said = f"{field.description} A new record gets `{default}` where it is left out."
    return {**schema, "description": said.strip()}


def _written(field: Field) -> Schema:
    match field.kind:
        case Kind.CHOICE if field.choices:
            return {"type": "string", "enum": _choices(field)}
        case Kind.EMAIL:
            return _text(field, EMAIL)
        case Kind.URL:
            return _text(field, URL)
        case Kind.COUNTRY:
            return _code("Country", field)
        case Kind.CURRENCY:
            return _code("Currency", field)
        case Kind.INTEGER:
            low, high = field.minimum, field.maximum
            return {
                "type": "integer",
                "minimum": -MAX_INTEGER if low is None else max(int(low), -MAX_INTEGER),
                "maximum": MAX_INTEGER if high is None else min(int(high), MAX_INTEGER),
            }
        case Kind.DECIMAL | Kind.MONEY:
            return _decimal(field)
        case Kind.DATE:
            return {**DATE, "pattern": _DATE_YEARS}
        case Kind.DATETIME:
            return {**DATETIME, "pattern": _DATETIME_YEARS}
        case Kind.TAGS:
            name = {"type": "string", "minLength": 1, "maxLength": MAX_TAG_LENGTH, "pattern": TAG}
            return {"type": "array", "maxItems": MAX_TAGS, "items": name}
        case Kind.BOOLEAN | Kind.UUID | Kind.RELATION | Kind.PERSON | Kind.JSON:
            return _shown(field)
    return _text(field, FILLED if field.required else TEXT)


def _text(field: Field, pattern: str) -> Schema:
    optional = pattern in (EMAIL, URL) and not field.required
    return {
        "type": "string",
        **({"minLength": 1} if field.required else {}),
        "maxLength": field.max_length or MAX_LONG_TEXT,
        "pattern": f"^$|{pattern}" if optional else pattern,
    }


def _code(name: str, field: Field) -> Schema:
    reference = {"$ref": f"#/components/schemas/{name}"}
    return reference if field.required else {"anyOf": [reference, {"const": ""}]}


def _decimal(field: Field) -> Schema:
    """A text of digits, or a JSON number of no more places."""
    places, whole = field.decimal_places, field.max_digits - field.decimal_places
    most = Decimal(10) ** whole - Decimal(1).scaleb(-places)
    high = most if field.maximum is None else min(most, Decimal(field.maximum))
    low = -most if field.minimum is None else max(-most, Decimal(field.minimum))
    return {
        "type": ["string", "number"],
        "pattern": _decimal_pattern(places, whole, low, high),
        "minimum": _number(low),
        "maximum": _number(high),
        "multipleOf": _number(Decimal(1).scaleb(-places)),
    }


def _decimal_pattern(places: int, whole: int, low: Decimal, high: Decimal) -> str:
    sign = "-?" if low < 0 else ""
    tail = rf"(\.[0-9]{{1,{places}}})?" if places else ""
    digits = high.adjusted()
    if 0 < digits < whole and high == Decimal(10) ** digits:
        # Up to a round number, such as percents to 100.
        zeros = rf"(\.0{{1,{places}}})?" if places else ""
        return rf"^{sign}([0-9]{{1,{digits}}}{tail}|{high:f}{zeros})$"
    return rf"^{sign}[0-9]{{1,{whole}}}{tail}$"


def _number(value: Decimal) -> int | float:
    # Beyond 2^53 a float has no places left.
    is_whole = value == value.to_integral_value() or abs(value) >= 2**53
    return int(value) if is_whole else float(value)


# --- asked ---------------------------------------------------------------------------------------------------------

NULLNESS_SUFFIX = "isnull"
DATE_SUFFIX = "date"


def asked(field: Field) -> dict[str, Schema]:
    """The query parameters that filter a list by this field: exactly those `core.conditions.params` reads."""
    if not field.filterable:
        return {}
    allowed = field.type.operators
    found: dict[str, Schema] = {}
    if "eq" in allowed:
        found[field.name] = _asked_one(field)
    for suffix, operator in SUFFIXES.items():
        if operator in allowed:
            found[f"{field.name}__{suffix}"] = _asked(field, OPERATORS[operator].operand)
    if "is_null" in allowed:
        found[f"{field.name}__{NULLNESS_SUFFIX}"] = {"$ref": "#/components/schemas/FilterNull"}
    if field.kind is Kind.DATETIME:
        found[f"{field.name}__{DATE_SUFFIX}"] = {"$ref": "#/components/schemas/FilterDay"}
    return found


def _asked(field: Field, operand: Operand) -> Schema:
    if operand is Operand.MANY:
        return _several(field, "*")
    if operand is Operand.TWO:
        return _several(field, "{1}")
    if operand is Operand.TEXT and field.kind is not Kind.TAGS:
        return {"$ref": "#/components/schemas/FilterWords"}
    return _asked_one(field)


_ASKED = {
    Kind.EMAIL: "FilterEmail",
    Kind.URL: "FilterUrl",
    Kind.COUNTRY: "Country",
    Kind.CURRENCY: "Currency",
    Kind.INTEGER: "FilterInteger",
    Kind.BOOLEAN: "FilterBoolean",
    Kind.DATE: "FilterDate",
    Kind.DATETIME: "FilterDatetime",
    Kind.UUID: "FilterId",
    Kind.RELATION: "FilterId",
    Kind.PERSON: "FilterId",
    Kind.TAGS: "FilterTag",
}


def _asked_one(field: Field) -> Schema:
    if field.kind is Kind.CHOICE and field.choices:
        return {"type": "string", "enum": [value for value in field.choice_values if value]}
    if field.kind in (Kind.DECIMAL, Kind.MONEY):
        return {"type": "string", "pattern": f"^{_decimal_item(field)}$"}
    return {"$ref": f"#/components/schemas/{_ASKED.get(field.kind, 'FilterText')}"}


def _decimal_item(field: Field) -> str:
    places, whole = field.decimal_places, field.max_digits - field.decimal_places
    return rf"-?[0-9]{{1,{whole}}}" + (rf"(\.[0-9]{{1,{places}}})?" if places else "")


_ITEMS = {
    Kind.EMAIL: EMAIL[1:-1],
    Kind.URL: r"[^\u0000\s,:/?#<>\"]+".replace('\\"', '"'),
    Kind.COUNTRY: f"({'|'.join(sorted(map(str, COUNTRY_CODES)))})",
    Kind.CURRENCY: f"({'|'.join(sorted(map(str, CURRENCY_CODES)))})",
    Kind.INTEGER: WHOLE,
    Kind.BOOLEAN: "(true|false|1|0)",
    Kind.DATE: _DAY,
    Kind.DATETIME: f"{_DAY}{_TIME}",
    Kind.UUID: _UUID,
    Kind.RELATION: _UUID,
    Kind.PERSON: _UUID,
    Kind.TAGS: r"[^\u0000,\s]{1,64}",
}


def _several(field: Field, repeat: str) -> Schema:
    """Values separated by commas."""
    name = {"*": "List", "{1}": "Range"}[repeat]
    if field.kind is Kind.CHOICE and field.choices:
        item = f"({'|'.join(value for value in field.choice_values if value)})"
    elif field.kind in (Kind.DECIMAL, Kind.MONEY):
        item = _decimal_item(field)
    else:
        base = _ASKED.get(field.kind, "FilterText").removeprefix("Filter")
        return {"$ref": f"#/components/schemas/Filter{base}{name}"}
    return {"type": "string", "pattern": f"^{item}(,{item}){repeat}$"}


def shared_filters() -> Mapping[str, Schema]:
    """The components that `asked` refers to."""
    counted = {word for word in WORDS if word.endswith(":N")}
    words = "|".join(sorted(set(WORDS) - counted - {"now"}))
    numbered = "|".join(sorted(word.removesuffix(":N") for word in counted))
    relative: Schema = {
        "type": "string",
        "pattern": f"^(({words})|({numbered}):[1-9][0-9]{{0,2}})$",
        "description": "A period relative to today.",
    }
    day = {**DATE, "pattern": _DATE_YEARS}
    text: Schema = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT, "pattern": TEXT}
    schemas: dict[str, Schema] = {
        "FilterText": text,
        "FilterWords": text,
        "FilterEmail": {"type": "string", "pattern": EMAIL},
        "FilterUrl": {"type": "string", "pattern": URL},
        "FilterInteger": {"type": "integer", "minimum": -MAX_INTEGER, "maximum": MAX_INTEGER},
        "FilterBoolean": {"type": "string", "enum": ["true", "false", "1", "0"]},
        "FilterNull": {"type": "string", "enum": ["true", "false"]},
        "FilterDay": day,
        "FilterPeriod": relative,
        "FilterDate": {"anyOf": [day, {"$ref": "#/components/schemas/FilterPeriod"}]},
        "FilterDatetime": {
            "anyOf": [
                {**DATETIME, "pattern": _DATETIME_YEARS},
                day,
                {"$ref": "#/components/schemas/FilterPeriod"},
            ]
        },
        "FilterId": UUID,
        "FilterTag": {"type": "string", "minLength": 1, "maxLength": MAX_TAG_LENGTH, "pattern": TAG},
        "Country": {
            "type": "string",
            "enum": sorted(map(str, COUNTRY_CODES)),
            "description": "ISO 3166 code.",
        },
        "Currency": {
            "type": "string",
            "enum": sorted(map(str, CURRENCY_CODES)),
            "description": "ISO 4217 code.",
        },
    }
    for kind in Kind:
        base = _ASKED.get(kind, "FilterText").removeprefix("Filter")
        item = _ITEMS.get(kind, r"[^\u0000,]+")
        for name, repeat, what in (("List", "*", "Values"), ("Range", "{1}", "Two values, the lower first,")):
            schemas[f"Filter{base}{name}"] = {
                "type": "string",
                "pattern": f"^{item}(,{item}){repeat}$",
                "description": f"{what} separated by commas.",
            }
    return schemas


# --- examples ------------------------------------------------------------------------------------------------------

_EXAMPLES: dict[Kind, Any] = {
    Kind.LONG_TEXT: "Met at the trade fair.",
    Kind.EMAIL: "ada@example.com",
    Kind.PHONE: "+49 30 901820",
    Kind.URL: "https://example.com",
    Kind.COUNTRY: "DE",
    Kind.CURRENCY: "EUR",
    Kind.INTEGER: 10,
    Kind.BOOLEAN: True,
    Kind.DATE: "2026-03-31",
    Kind.DATETIME: "2026-03-31T09:30:00Z",
    Kind.UUID: "01977c3e-5f5a-7c3a-9d6e-0d5c5b1f2a11",
    Kind.RELATION: "01977c3e-5f5a-7c3a-9d6e-0d5c5b1f2a12",
    Kind.PERSON: "01977c3e-5f5a-7c3a-9d6e-0d5c5b1f2a13",
    Kind.TAGS: ["priority"],
    Kind.JSON: {},
}


def example(field: Field) -> Any:
    if field.choices:
        return field.choice_values[0]
    if field.kind in (Kind.DECIMAL, Kind.MONEY):
        value = Decimal(50) if field.max_digits - field.decimal_places < 5 else Decimal(12_500)
        return str(value.quantize(Decimal(1).scaleb(-field.decimal_places)))
    if field.name == "version":
        return 1
    if field.kind is Kind.JSON and _json_schema(field.json_type).get("type") == "array":
        return []
    text = _EXAMPLES.get(field.kind, field.label)
    return text[: field.max_length] if field.type.is_text and field.max_length else text
