"""Entries as lines of a timeline, and what all pages of the change log begin with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib.admin import site
from django.http import HttpRequest

from audit.documents import AuditLogDocument
from audit.rights import MANAGE_AUDIT
from core.backoffice.history import ACTIONS, SOURCES
from core.backoffice.writing import actor_of
from core.entities import entities


def lines_of(documents: Sequence[AuditLogDocument]) -> list[dict[str, Any]]:
    """Entries as lines of a timeline."""
    return [
        {
            "entry": document,
            "who": _who(document),
            "what": action_words(document.action),
            "source": SOURCES.get(document.source, document.source.replace("_", " ")),
            "kind": kind_label(document.entity_type),
            "record": document.entity_name or (str(document.entity_id) if document.entity_id else ""),
            "icon": ICONS.get(document.action, "info"),
            "fields": [name.replace("_", " ") for name in document.changed_fields[:6]],
            "more": max(0, len(document.changed_fields) - 6),
        }
        for document in documents
    ]


ICONS = {
    "create": "add_circle",
    "update": "edit",
    "delete": "delete",
    "restore": "restore_from_trash",
    "login": "login",
    "logout": "logout",
    "login_failed": "gpp_maybe",
    "permission_denied": "block",
    "export": "file_export",
}


def _who(document: AuditLogDocument) -> str:
    if document.user is None:
        return "The system"
    name = document.user_name or "Someone from outside this company"
    return f"{name} (somebody acted as them)" if document.impersonator else name


def action_words(action: str) -> str:
    return ACTIONS.get(action, action.replace("_", " "))


def kind_label(kind: str) -> str:
    entity = entities.find(kind)
    return entity.label if entity is not None else kind.replace("_", " ").capitalize()


def page_context(request: HttpRequest, title: str, **more: Any) -> dict[str, Any]:
    return {
        **site.each_context(request),
        "title": title,
        "may_manage": actor_of(request).rights.can(MANAGE_AUDIT),
        **more,
    }
