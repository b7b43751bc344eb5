"""JSON Schema of a plain serializer, as strict as the serializer itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic.json_schema import JsonSchemaMode as Mode
from rest_framework import serializers

from core.rest.schema.fields import DATETIME, FILLED, TEXT, UUID, Schema, or_null


def serializer_schema(
    serializer: serializers.Serializer[Any], mode: Mode, add: Callable[[str, Schema], Schema]
) -> Schema:
    """The schema of a document; those of nested serializers are added as components."""
    chosen = {
        name: field
        for name, field in serializer.fields.items()
        if not (field.read_only if mode == "validation" else field.write_only)
    }
    required = [name for name, field in chosen.items() if field.required or mode == "serialization"]
    document: Schema = {
        "type": "object",
        "properties": {name: _field(field, mode, add) for name, field in chosen.items()},
        "additionalProperties": False,
    }
    if required:
        document["required"] = required
    return document


def _field(field: Any, mode: Mode, add: Callable[[str, Schema], Schema]) -> Schema:
    if isinstance(field, serializers.ListSerializer):
        return {"type": "array", "items": _field(field.child, mode, add)}
    if isinstance(field, serializers.Serializer):
        schema = add(type(field).__name__, serializer_schema(field, mode, add))
    else:
        schema = _plain(field, mode, add)
    if field.allow_null:
        schema = or_null(schema)
    if field.write_only:
        schema = {**schema, "writeOnly": True}
    return {**schema, "description": str(field.help_text)} if field.help_text else schema


def _plain(field: Any, mode: Mode, add: Callable[[str, Schema], Schema]) -> Schema:
    match field:
        case serializers.UUIDField():
            return UUID
        case serializers.DateTimeField():
            return DATETIME
        case serializers.DateField():
            return {"type": "string", "format": "date"}
        case serializers.BooleanField():
            return {"type": "boolean"}
        case serializers.IntegerField():
            return _limited({"type": "integer"}, field, "minimum", "maximum", "min_value", "max_value")
        case serializers.DecimalField():
            return {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}
        case serializers.ChoiceField():
            return {"type": "string", "enum": list(field.choices)}
        case serializers.ListField():
            schema: Schema = {"type": "array", "items": _field(field.child, mode, add)}
            return _limited(schema, field, "minItems", "maxItems", "min_length", "max_length")
        case serializers.DictField():
            return {"type": "object"}
        case serializers.CharField() if mode == "validation":
            pattern = TEXT if field.allow_blank else FILLED
            least = {} if field.allow_blank else {"minLength": 1}
            return {"type": "string", **least, "pattern": pattern} | (
                {"maxLength": field.max_length} if field.max_length else {}
            )
        case serializers.CharField():
            return {"type": "string"}
    return {}


def _limited(schema: Schema, field: Any, low: str, high: str, least: str, most: str) -> Schema:
    limits = {low: getattr(field, least, None), high: getattr(field, most, None)}
    return schema | {name: limit for name, limit in limits.items() if limit is not None}
