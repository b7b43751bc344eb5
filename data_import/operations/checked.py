"""Settings are checked where they are written, whichever way they come."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.db import connection

from core.access import view
from core.changes import Rows
from core.entities import entities
from core.kernel.errors import Fault, Invalid
from core.tenancy.actors import Actor
from data_import.compiler.rules import check_rules
from data_import.schemas import SETTING_NAMES, read_settings


def check_settings(actor: Actor, model: Any, rows: Rows) -> None:
    """Read the settings that rows of templates or jobs will have, and check them against their entity. One statement, or
    two when rows are changed. Raises: Invalid."""
    candidates = _candidates(rows)
    changed = [UUID(row["id"]) for row in candidates if row.get("id")]
    stored = {str(record.pk): record for record in model.objects.filter(pk__in=changed)}
    for row in candidates:
        given = {name: value for name, value in row.items() if value is not None}
        before = stored.get(str(row.get("id")))
        document = {name: getattr(before, name) for name in SETTING_NAMES} if before is not None else {}
        document |= {name: given[name] for name in SETTING_NAMES if name in given}
        settings = read_settings(document)
        entity_type = given.get("entity_type", before.entity_type if before is not None else "")
        entity = entities.find(entity_type)
        if entity is None:
            raise Invalid(faults=[Fault("entity_type", "not_a_choice", "There is no such entity.")])
        check_rules(view(entity, actor), settings)


def _candidates(rows: Rows) -> list[dict[str, Any]]:
    """Rows as documents of what they set."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT to_jsonb(r)::text FROM ({rows.sql}) r", list(rows.params))
        found = [json.loads(text) for (text,) in cursor.fetchall()]
    if not rows.sparse:
        return found
    return [
        {name: value for name, value in row.items() if name == "id" or name in (row.get("doc") or {})}
        for row in found
    ]
