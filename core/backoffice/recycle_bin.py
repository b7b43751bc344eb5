"""The recycle bin: what was deleted, of all kinds, newest first, and the way back."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from core.access import view
from core.access.deleted import kinds_in_bin, list_deleted
from core.access.writing import write_one
from core.backoffice.values import names_of, record_url
from core.entities import Entity, entities
from core.kernel.errors import DomainError, Forbidden, NotFound
from core.kernel.transactions import savepoint
from core.tenancy.actors import Actor

PAGE_SIZE = 100


def kept() -> list[Entity]:
    """The kinds that are deleted into the bin."""
    return [entity for entity in entities if entity.is_soft_deleted]


def show(request: HttpRequest) -> HttpResponse:
    """What the person would see, were it not deleted. `?entity=` narrows to one kind."""
    from django.contrib.admin import site

    actor: Actor = request.actor  # type: ignore[attr-defined]
    kinds = kinds_in_bin(actor)
    if not kinds:
        raise Forbidden("Your role may not delete records, so you see no recycle bin.")
    wanted = request.GET.get("entity", "")
    if wanted and wanted not in {entity.name for entity in kinds}:
        raise Http404
    found = list_deleted(actor, PAGE_SIZE + 1, wanted or None)
    people = names_of(actor, entities["user"], {item.deleted_by for item in found if item.deleted_by})
    context: dict[str, Any] = {
        **site.each_context(request),
        "title": "Recycle bin",
        "kinds": kinds,
        "wanted": wanted,
        "rows": [
            {
                "entity": entities[item.entity_name],
                "id": item.id,
                "name": item.name or str(item.id)[-8:],
                "deleted_at": item.deleted_at,
                "deleted_by": people.get(item.deleted_by, "") if item.deleted_by else "",
                "may_restore": entities[item.entity_name].writes.restore is not None,
            }
            for item in found[:PAGE_SIZE]
        ],
        "has_more": len(found) > PAGE_SIZE,
        "limit": PAGE_SIZE,
    }
    return TemplateResponse(request, "backoffice/recycle_bin.html", context)


def restore(request: HttpRequest) -> HttpResponse:
    """Bring one record back, as `POST /{entity}/{id}/restore/` of the API does."""
    name, record_id = request.POST.get("entity", ""), request.POST.get("id", "")
    if name not in entities or not entities[name].is_soft_deleted:
        raise Http404
    seen = view(name, request.actor)  # type: ignore[attr-defined]
    seen.require("delete")
    try:
        with savepoint():
            restored = write_one(seen, "restore", record_id, now=timezone.now())
    except NotFound:
        raise
    except DomainError as refusal:
        messages.error(request, "; ".join(fault.detail for fault in refusal.faults) or refusal.detail)
    else:
        url = record_url(seen.entity, restored)
        messages.success(request, format_html('The {} is <a href="{}">back</a>.', seen.entity.noun, url))
    return HttpResponseRedirect(reverse("admin:recycle_bin"))
