"""Pages of one entry and of one record through time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from audit import queries
from audit.admin.diffs import detail_lines, diff_lines, state_lines
from audit.admin.lines import action_words, kind_label, lines_of, page_context
from audit.documents import history_documents
from audit.models import AuditLog, AuditSeal
from audit.operations.reverts import LaterChanges, revert_entry
from audit.operations.reviews import review_entry
from audit.reading import LogReader
from audit.states import logged_models, steps_of
from core.backoffice.values import record_url
from core.backoffice.writing import actor_of
from core.changes.ddl import ROW_ACTIONS
from core.entities import entities
from core.kernel.errors import DomainError
from core.kernel.transactions import savepoint

STEPS_SHOWN = 200


def show_entry(request: HttpRequest, log_id: int) -> HttpResponse:
    """One entry: who, when, from where, and each field before and after."""
    actor = actor_of(request)
    entry = queries.get_entry(actor, log_id)
    return TemplateResponse(request, "backoffice/audit_entry.html", _entry_context(request, entry))


def _entry_context(request: HttpRequest, entry: AuditLog, **more: Any) -> dict[str, Any]:
    actor = actor_of(request)
    [document] = history_documents(actor, [entry])
    [line] = lines_of([document])
    reader = LogReader(actor)
    is_change = entry.action in ROW_ACTIONS
    entity = entities.find(entry.entity_type)
    seal = (
        AuditSeal.objects.defer("leaves", "salts", "log_ids")
        .filter(until_xid__gte=entry.xid, after_xid__lte=entry.xid)
        .order_by("number")
        .last()
    )
    return page_context(
        request,
        f"Entry {entry.pk}",
        **line,
        diff=diff_lines(reader, entry.entity_type, document.changes) if is_change else [],
        details=[] if is_change else detail_lines(document.new_values | document.old_values),
        record_page=record_url(entity, entry.entity_id) if entity is not None and entry.entity_id else "",
        has_history=is_change and entry.entity_id is not None and entry.entity_type in logged_models(),
        can_revert=is_change
        and entity is not None
        and entry.action in ("update", "create", "delete", "restore"),
        seal=seal,
        **more,
    )


def review(request: HttpRequest, log_id: int) -> HttpResponse:
    """Note that the person has looked at the entry."""
    actor = actor_of(request)
    note = request.POST.get("note", "")[:2_000]
    return _done(
        request,
        log_id,
        "The review was noted.",
        lambda: review_entry(actor=actor, log_id=log_id, note=note, now=timezone.now()),
    )


def revert(request: HttpRequest, log_id: int) -> HttpResponse:
    """Undo the change; what stands in the way is shown."""
    actor = actor_of(request)
    return _done(
        request,
        log_id,
        "The change was undone by a new one.",
        lambda: revert_entry(actor=actor, log_id=log_id, now=timezone.now()),
    )


def _done(request: HttpRequest, log_id: int, message: str, act: Callable[[], Any]) -> HttpResponse:
    entry = queries.get_entry(actor_of(request), log_id)
    try:
        with savepoint():
            act()
    except LaterChanges as refusal:
        conflicts = refusal.extra.get("conflicts", [])
        context = _entry_context(request, entry, refusal=refusal.detail, conflicts=conflicts)
        return TemplateResponse(request, "backoffice/audit_entry.html", context, status=409)
    except DomainError as refusal:
        messages.error(request, refusal.detail)
    else:
        messages.success(request, message)
    return HttpResponseRedirect(reverse("admin:change_log_entry", args=[entry.pk]))


def show_record(request: HttpRequest, entity_type: str, record_id: UUID) -> HttpResponse:
    """A record through time: its entries, and how it stood after the one that the slider stands at."""
    actor = actor_of(request)
    queries.require_view(actor)
    if entity_type not in logged_models():
        raise Http404
    found = queries.entries(actor).filter(entity_type=entity_type, entity_id=record_id)
    rows = list(found.order_by("-pk")[: STEPS_SHOWN + 1])
    if not rows:
        raise Http404
    rows, has_more = rows[:STEPS_SHOWN], len(rows) > STEPS_SHOWN
    steps = steps_of([(entity_type, record_id)])[entity_type, record_id][:STEPS_SHOWN]
    reader = LogReader(actor)
    # The slider goes from the oldest of them, 1, to today.
    asked = request.GET.get("step", "")
    place = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 6 else len(steps)
    place = min(max(place, 1), len(steps)) if steps else 0
    chosen = steps[len(steps) - place] if steps else None
    then = reader.values(entity_type, chosen.after) if chosen else {}
    latest = next((step.after or step.before for step in steps), None)
    lines = lines_of(history_documents(actor, rows))
    for line in lines:
        line["diff"] = diff_lines(reader, entity_type, line["entry"].changes)
    entity = entities.find(entity_type)
    name = next((document["record"] for document in lines if document["record"]), str(record_id))
    context = page_context(
        request,
        f"{kind_label(entity_type)} {name}",
        lines=lines,
        has_more=has_more,
        entity_type=entity_type,
        record_id=record_id,
        record_page=record_url(entity, record_id) if entity is not None else "",
        steps=len(steps),
        place=place,
        chosen=chosen,
        chosen_action=action_words(chosen.action) if chosen else "",
        state=state_lines(reader, entity_type, then, reader.values(entity_type, latest)),
        is_there=chosen is not None and chosen.after is not None,
    )
    return TemplateResponse(request, "backoffice/audit_record.html", context)
