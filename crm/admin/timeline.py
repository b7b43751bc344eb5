"""What happened around a record, as one feed: activities, tasks, notes, stages, changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.db.models import QuerySet

from core.access import EntityView, view
from core.backoffice.history import SOURCES
from core.backoffice.record_pages import Event
from core.backoffice.values import attach_names, record_url, slim
from core.tenancy.actors import Actor

EVENTS_SHOWN = 50
READ_PER_KIND = 30
TEXT_SHOWN = 400
ICONS = {"call": "call", "email": "mail", "meeting": "groups", "sms": "sms"}


def events_around(actor: Actor, relation: str, record: Any) -> list[Event]:
    """Activities, tasks and notes of a record, and a deal's stages. Two statements for each kind."""
    found: list[Event] = []
    for entity_name, order, event_of in _KINDS:
        field = "deal" if entity_name == "deal_stage_history" else relation
        seen = view(entity_name, actor)
        if not seen.can("read") or field not in seen.askable or (field == "deal" and relation != "deal"):
            continue
        found += event_of(seen, _rows(seen, seen.records().filter(**{field: record.pk}), order))
    return found


def in_order(events: Iterable[Event]) -> list[Event]:
    return sorted(events, key=lambda event: event.at, reverse=True)[:EVENTS_SHOWN]


def _rows(seen: EntityView, records: QuerySet[Any], order: str) -> list[Any]:
    rows = list(slim(records, seen).order_by(f"-{order}", "-pk")[:READ_PER_KIND])
    attach_names(seen, rows, seen.fields.values())
    return rows


def _name(row: Any, field: str) -> str:
    return row.related_names.get(field) or ""


def _short(text: str) -> str:
    return text if len(text) <= TEXT_SHOWN else text[:TEXT_SHOWN].rstrip() + "…"


def _activities(seen: EntityView, rows: list[Any]) -> list[Event]:
    return [
        Event(
            row.start_at,
            ICONS.get(row.type, "event"),
            f"{row.get_type_display()}: {row.subject}",
            _name(row, "owner"),
            row.get_status_display().lower(),
            _short(row.description),
            record_url(seen.entity, row.pk),
        )
        for row in rows
    ]


def _tasks(seen: EntityView, rows: list[Any]) -> list[Event]:
    return [
        Event(
            row.completed_at or row.created_at,
            "task_alt" if row.completed_at else "checklist",
            f"Task: {row.subject}",
            _name(row, "owner"),
            row.get_status_display().lower(),
            _short(row.description),
            record_url(seen.entity, row.pk),
        )
        for row in rows
    ]


def _notes(seen: EntityView, rows: list[Any]) -> list[Event]:
    return [
        Event(
            row.created_at,
            "sticky_note_2",
            row.title or "Note",
            _name(row, "owner"),
            "pinned" if row.is_pinned else "",
            _short(row.body),
            record_url(seen.entity, row.pk),
        )
        for row in rows
    ]


def _stages(seen: EntityView, rows: list[Any]) -> list[Event]:
    return [
        Event(
            row.changed_at,
            "moving",
            f"Moved to {_name(row, 'to_stage') or 'another stage'}"
            if row.from_stage_id
            else f"Entered {_name(row, 'to_stage') or 'its first stage'}",
            _name(row, "changed_by"),
            SOURCES.get(row.source, row.source),
            f"From {_name(row, 'from_stage')}" if row.from_stage_id else "",
        )
        for row in rows
    ]


_KINDS: tuple[tuple[str, str, Callable[[EntityView, list[Any]], list[Event]]], ...] = (
    ("activity", "start_at", _activities),
    ("task", "created_at", _tasks),
    ("note", "created_at", _notes),
    ("deal_stage_history", "changed_at", _stages),
)
