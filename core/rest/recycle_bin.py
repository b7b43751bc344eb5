"""`/recycle-bin/`: what was deleted, of all entities, newest first; each can be restored for 30 days."""

from __future__ import annotations

import json
from typing import Any

from django.db.models import F, TextField, Value
from django.db.models.functions import Cast
from django.http import HttpResponse
from rest_framework.request import Request

from core.access import view
from core.entities import entities
from core.entities.kinds import Kind
from core.kernel.errors import Fault, Invalid
from core.rest.schema import documented
from core.rest.views import MEMBER, ApiView

PAGE_SIZE = 100
_DELETED = {
    "type": "object",
    "required": ["entity", "id", "name", "deleted_at", "deleted_by"],
    "properties": {
        "entity": {"type": "string"},
        "id": {"type": "string", "format": "uuid"},
        "name": {"type": ["string", "null"]},
        "deleted_at": {"type": "string", "format": "date-time"},
        "deleted_by": {"type": ["string", "null"], "format": "uuid"},
    },
    "additionalProperties": False,
}
_BIN = {
    "type": "object",
    "required": ["results", "complete", "limit"],
    "properties": {
        "results": {"type": "array", "items": _DELETED},
        "complete": {"type": "boolean"},
        "limit": {"type": "integer"},
    },
    "additionalProperties": False,
}


def _entity() -> dict[str, Any]:
    soft = [entity.name for entity in entities if entity.is_soft_deleted]
    return {"type": "string", "enum": soft, "description": "Only this kind of record."}


class RecycleBinView(ApiView):
    """Deleted records the caller would see, `?entity=` narrows to one kind. Restore at `/{entity}/{id}/restore/`."""

    verbs = {"get": MEMBER}

    @documented(response=_BIN, query={"entity": _entity})
    def get(self, request: Request) -> HttpResponse:
        parameters = dict(request.query_params.items())
        wanted = parameters.pop("entity", None)
        if parameters:
            raise Invalid(
                faults=[
                    Fault(name, "unknown_parameter", "There is no such parameter.") for name in parameters
                ]
            )
        soft = [entity for entity in entities if entity.is_soft_deleted]
        if wanted is not None and wanted not in {entity.name for entity in soft}:
            raise Invalid(faults=[Fault("entity", "not_a_choice", "There is no such entity.")])
        union: Any = None
        for entity in soft:
            seen = view(entity, self.actor)
            if not seen.can("read") or wanted not in (None, entity.name):
                continue
            title = entity.title[0]
            shown = seen.fields.get(title)
            name = Cast(F(shown.column), TextField()) if shown and shown.kind is not Kind.JSON else Value("")
            rows = (
                seen.bin()
                .annotate(entity_name=Value(entity.name, TextField()), record_name=name)
                .order_by()
                .values_list("entity_name", "pk", "record_name", "deleted_at", "deleted_by_id")
            )
            union = rows if union is None else union.union(rows, all=True)
        found = [] if union is None else list(union.order_by("-deleted_at", "pk")[: PAGE_SIZE + 1])
        body = {
            "results": [
                {
                    "entity": entity_name,
                    "id": str(key),
                    "name": name,
                    "deleted_at": deleted_at.isoformat().replace("+00:00", "Z"),
                    "deleted_by": str(by) if by else None,
                }
                for entity_name, key, name, deleted_at, by in found[:PAGE_SIZE]
            ],
            "complete": len(found) <= PAGE_SIZE,
            "limit": PAGE_SIZE,
        }
        return HttpResponse(json.dumps(body), content_type="application/json")
