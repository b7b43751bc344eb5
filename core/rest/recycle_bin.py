"""`/recycle-bin/`: what was deleted, of all entities, newest first, for those who may delete and so restore it."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from core.access.deleted import list_deleted
from core.entities import entities
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
    """Deleted records that the caller may restore; `?entity=` narrows to one kind. Restore at `/{entity}/{id}/restore/`."""

    verbs = {"get": MEMBER}

    @documented(response=_BIN, query={"entity": _entity})
    def get(self, request: Request) -> Response:
        wanted = request.query_params.get("entity")
        soft = [entity for entity in entities if entity.is_soft_deleted]
        if wanted is not None and wanted not in {entity.name for entity in soft}:
            raise Invalid(faults=[Fault("entity", "not_a_choice", "There is no such entity.")])
        found = list_deleted(self.actor, PAGE_SIZE + 1, wanted)
        body = {
            "results": [
                {
                    "entity": item.entity_name,
                    "id": str(item.id),
                    "name": item.name,
                    "deleted_at": item.deleted_at.isoformat().replace("+00:00", "Z"),
                    "deleted_by": str(item.deleted_by) if item.deleted_by else None,
                }
                for item in found[:PAGE_SIZE]
            ],
            "complete": len(found) <= PAGE_SIZE,
            "limit": PAGE_SIZE,
        }
        return Response(body)
