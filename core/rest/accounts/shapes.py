"""JSON Schema of the bodies that depend on what other apps have registered."""

from __future__ import annotations

from typing import Any

from core.identity.models import ApiKey
from core.identity.operations.companies import COMPANY_SETTINGS, MAX_NAME
from core.identity.rights import permission_words
from core.rest.schema.fields import DATETIME, FILLED, VERSION, or_null


def company_input() -> dict[str, Any]:
    settings = {
        name: {"description": COMPANY_SETTINGS[name].description} for name in COMPANY_SETTINGS.names()
    }
    return {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": MAX_NAME, "pattern": FILLED},
            "timezone": {"type": "string", "description": "IANA name such as `Europe/Berlin`."},
            "locale": {"type": "string", "maxLength": 16, "description": "Such as `en-US`."},
            "default_currency": {"$ref": "#/components/schemas/Currency"},
            "fiscal_year_start_month": {"type": "integer", "minimum": 1, "maximum": 12},
            "settings": {
                "type": "object",
                "properties": settings,
                "additionalProperties": False,
                "description": "Merged with those that are set; null brings a default back.",
            },
            "version": VERSION,
        },
        "additionalProperties": False,
        "examples": [{"name": "Acme", "timezone": "Europe/Berlin", "fiscal_year_start_month": 4}],
    }


def api_key_input() -> dict[str, Any]:
    most = ApiKey._meta.get_field("name").max_length
    return {
        "type": "object",
        "required": ["name", "scopes"],
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": most, "pattern": FILLED},
            "scopes": {
                "type": "array",
                "minItems": 1,
                "maxItems": 200,
                "items": {"type": "string", "enum": permission_words()},
            },
            "expires_at": {**or_null(DATETIME), "description": "In the future."},
        },
        "additionalProperties": False,
        "examples": [{"name": "Website", "scopes": ["create:lead"]}],
    }
