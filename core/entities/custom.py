"""Fields that a company adds to an entity: their values are keys of the record's `custom_fields`."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from core.entities.kinds import Kind
from core.entities.registry import CUSTOM_FIELDS, Field

# Two underscores in a row would be read as the beginning of an operator: `custom_fields.<key>__gte`.
KEY_PATTERN = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
MAX_KEY_LENGTH = 50
_TYPES = {
    Kind.INTEGER: "bigint",
    Kind.DECIMAL: "numeric",
    Kind.MONEY: "numeric",
    Kind.BOOLEAN: "boolean",
    Kind.DATE: "date",
    Kind.DATETIME: "timestamptz",
    Kind.UUID: "uuid",
    Kind.RELATION: "uuid",
    Kind.PERSON: "uuid",
}


def custom_field(
    key: str,
    kind: Kind,
    *,
    label: str = "",
    required: bool = False,
    pii: bool = False,
    search: str = "",
    identifies: bool = False,
    description: str = "",
    choices: tuple[tuple[str, str], ...] = (),
    to: str = "",
    default: Any = None,
    max_length: int = 255,
    decimal_places: int = 2,
    minimum: Decimal | int | None = None,
    maximum: Decimal | int | None = None,
) -> Field:
    """The field `custom_fields.<key>`. `to` is the entity that a relation leads to.

    A stored value that does not fit the kind (any more) reads as null. Raises: ValueError for a key or a kind that cannot be.
    """
    if not KEY_PATTERN.fullmatch(key) or len(key) > MAX_KEY_LENGTH:
        raise ValueError(f"{key!r} cannot be the key of a custom field")
    if kind is Kind.JSON:
        raise ValueError("a custom field holds a single value or tags")
    name = f"{CUSTOM_FIELDS}.{key}"
    is_choice = kind is Kind.CHOICE
    return Field(
        name=name,
        kind=kind,
        label=label or key.replace("_", " ").capitalize(),
        column="",
        required=required,
        # Records from before the field was added have no value.
        nullable=True,
        read_only=False,
        pii=pii,
        search=search,
        key=identifies,
        meaning="",
        filterable=True,
        sortable=kind not in (Kind.LONG_TEXT, Kind.TAGS),
        dimension=is_choice or kind in (Kind.BOOLEAN, Kind.DATE, Kind.DATETIME, Kind.TEXT),
        measure=kind in (Kind.INTEGER, Kind.DECIMAL, Kind.MONEY),
        sql=_sql(key, kind),
        description=description,
        choices=choices,
        max_length=max_length if kind not in (Kind.LONG_TEXT, Kind.CHOICE) else None,
        max_digits=18,
        decimal_places=decimal_places,
        minimum=minimum,
        maximum=maximum,
        unique=False,
        to="user" if kind is Kind.PERSON else to,
        default=default,
        alias=f"custom_field_{key}",
        custom_key=key,
    )


def _sql(key: str, kind: Kind) -> str:
    if kind is Kind.TAGS:
        value = f"{{t}}.\"{CUSTOM_FIELDS}\" -> '{key}'"
        items = f"ARRAY(SELECT jsonb_array_elements_text({value}))"
        return f"CASE WHEN jsonb_typeof({value}) = 'array' THEN {items} END"
    text = f"({{t}}.\"{CUSTOM_FIELDS}\" ->> '{key}')"
    if kind not in _TYPES:
        return text
    return f"CASE WHEN pg_input_is_valid({text}, '{_TYPES[kind]}') THEN {text}::{_TYPES[kind]} END"
