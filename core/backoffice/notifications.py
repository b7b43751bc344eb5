"""A person's own notifications: the bell's page, and by which channels they want to hear of what."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.admin import site
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from core.backoffice.values import record_url
from core.backoffice.writing import actor_of
from core.delivery.kinds import CHANNELS, NOTIFICATION_KINDS
from core.delivery.operations import mark_all_read, mark_read, set_preferences
from core.delivery.queries import count_unread, list_preferences, notifications_of
from core.entities import entities

PAGE_SIZE = 50
CHANNEL_LABELS = {"in_app": "In the app", "email": "By email"}


def show(request: HttpRequest) -> HttpResponse:
    """The newest, or with `?before=` those older than one; `?unread=1` only what has not been read."""
    actor = actor_of(request)
    rows = notifications_of(actor)
    only_unread = request.GET.get("unread") == "1"
    if only_unread:
        rows = rows.filter(read_at=None)
    before = request.GET.get("before", "")
    if before:
        rows = rows.filter(pk__lt=_id(before))
    found = list(rows[: PAGE_SIZE + 1])
    context: dict[str, Any] = {
        **site.each_context(request),
        "title": "Notifications",
        "notifications": found[:PAGE_SIZE],
        "kinds": {kind.name: kind.label for kind in NOTIFICATION_KINDS},
        "older": found[PAGE_SIZE - 1].pk if len(found) > PAGE_SIZE else None,
        "only_unread": only_unread,
        "has_unread": count_unread(actor) > 0,
    }
    return TemplateResponse(request, "backoffice/notifications.html", context)


def open_one(request: HttpRequest, notification_id: UUID) -> HttpResponse:
    """Mark it as read and go to the record it is about."""
    read = mark_read(actor=actor_of(request), notification_id=notification_id, now=timezone.now())
    entity = entities.find(read.entity_type)
    url = record_url(entity, read.entity_id) if entity is not None and read.entity_id is not None else ""
    return HttpResponseRedirect(url or reverse("admin:notifications"))


def read_all(request: HttpRequest) -> HttpResponse:
    mark_all_read(actor=actor_of(request), now=timezone.now())
    return HttpResponseRedirect(reverse("admin:notifications"))


def settings_page(request: HttpRequest) -> HttpResponse:
    """Check boxes: a row for each kind, a column for each channel."""
    actor = actor_of(request)
    if request.method == "POST":
        chosen = {
            kind.name: [channel for channel in CHANNELS if f"{kind.name}:{channel}" in request.POST]
            for kind in NOTIFICATION_KINDS
        }
        set_preferences(actor=actor, channels=chosen)
        messages.success(request, "Your notification settings were saved.")
        return HttpResponseRedirect(reverse("admin:notifications"))
    context = {
        **site.each_context(request),
        "title": "Notification settings",
        "channels": CHANNEL_LABELS.values(),
        "rows": [
            {
                "kind": item.kind,
                "boxes": [
                    (f"{item.kind.name}:{channel}", label, channel in item.channels)
                    for channel, label in CHANNEL_LABELS.items()
                ],
            }
            for item in list_preferences(actor)
        ],
    }
    return TemplateResponse(request, "backoffice/notification_settings.html", context)


def go_to_record(request: HttpRequest, entity_name: str, record_id: UUID) -> HttpResponse:
    """An address of a record that mails can name without knowing the back office's pages."""
    entity = entities.find(entity_name)
    url = record_url(entity, record_id) if entity is not None else ""
    if not url:
        raise Http404
    return HttpResponseRedirect(url)


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Http404 from None
