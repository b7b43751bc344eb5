"""The page of one record: key facts, all fields, related records, timeline, next steps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest
from django.urls import reverse

from core.access import EntityView, view
from core.backoffice.history import Entry, FieldChange
from core.backoffice.values import (
    NOTHING,
    Shown,
    attach_names,
    list_url,
    name_of,
    record_url,
    slim,
    value_of,
)
from core.entities import Field, entities
from core.entities.computed import with_computed
from core.entities.kinds import Kind

if TYPE_CHECKING:
    from core.backoffice.entity_admin import EntityAdmin

RELATED_SHOWN = 5
RELATED_COLUMNS = 5
KEY_FACTS = 6
# The group of the fields that no group names.
LEFT_OVER = "More"
# Groups that are read least: on a small screen they come last.
_LAST = frozenset({LEFT_OVER, "Record"})
SYSTEM_GROUP = (
    "created_at",
    "created_by",
    "updated_at",
    "updated_by",
    "external_source",
    "external_id",
    "id",
)


@dataclass(frozen=True)
class ActionLink:
    """The button that leads to the guided page of an action."""

    label: str
    url: str
    icon: str = ""
    is_main: bool = False


@dataclass(frozen=True)
class Step:
    """Something to be done next: what, by when, where."""

    label: str
    url: str = ""
    due: str = ""
    is_late: bool = False


@dataclass(frozen=True)
class Event:
    """One line of a timeline."""

    at: datetime
    icon: str
    title: str
    who: str = ""
    source: str = ""
    text: str = ""
    url: str = ""
    changes: Sequence[FieldChange] = ()


@dataclass(frozen=True)
class RelatedList:
    title: str
    columns: Sequence[str]
    # (address, cells)
    rows: Sequence[tuple[str, Sequence[str]]]
    has_more: bool
    all_url: str
    add_url: str = ""
    add_label: str = ""


@dataclass
class _Group:
    title: str
    facts: list[tuple[str, str]] = field(default_factory=list)

    @property
    def is_last(self) -> bool:
        return self.title in _LAST


def changes_as_events(entries: Iterable[Entry]) -> list[Event]:
    return [
        Event(
            entry.at,
            "add_circle" if entry.action == "created" else "edit",
            entry.action.capitalize(),
            entry.who,
            entry.source,
            entry.note,
            changes=entry.changes,
        )
        for entry in entries
    ]


def context_of(admin: EntityAdmin, request: HttpRequest, record: Any) -> dict[str, Any]:
    """What the record's template shows. A constant number of statements."""
    seen = admin.view_of(request)
    meta = admin.model._meta
    base = f"admin:{meta.app_label}_{meta.model_name}"
    facts = key_facts(admin, seen, record)
    lists = related_lists(admin, request, record)
    return {
        "title": name_of(seen, record),
        "record": record,
        "entity": seen.entity,
        "opts": admin.opts,
        "icon": admin.icon,
        "key_facts": facts,
        "groups": list(_groups(admin, seen, record)),
        "related_lists": lists,
        "empty_lists": [item for item in lists if not item.rows],
        "timeline": admin.timeline(request, record),
        "next_steps": admin.next_steps(request, record),
        "record_actions": admin.record_actions(request, record),
        "change_url": reverse(f"{base}_change", args=[record.pk])
        if admin.has_change_permission(request, record)
        else "",
        "delete_url": reverse(f"{base}_delete", args=[record.pk])
        if admin.has_delete_permission(request, record)
        else "",
        "removal_label": admin.removal[0],
        "history_url": reverse(f"{base}_history", args=[record.pk]),
        "list_url": list_url(seen.entity),
    }


def key_facts(admin: EntityAdmin, seen: EntityView, record: Any) -> list[tuple[str, str]]:
    names = admin.key_facts or [
        item.name for item in admin.listed_fields(seen) if item.name not in seen.entity.title
    ]
    return [
        (seen.fields[name].label, Shown(seen.fields[name])(record)) for name in names if name in seen.fields
    ][:KEY_FACTS]


def _groups(admin: EntityAdmin, seen: EntityView, record: Any) -> Iterator[_Group]:
    """All fields that say something, in their groups."""
    names = [name for name in seen.fields if name not in SYSTEM_GROUP and name != "version"]
    for title, inside in (
        *admin.grouped(names),
        ("Record", [name for name in SYSTEM_GROUP if name in seen.fields]),
    ):
        group = _Group(title)
        for name in inside:
            if title == LEFT_OVER and name in (*seen.entity.title, *admin.key_facts):
                # The page has said it above.
                continue
            shown = Shown(seen.fields[name])(record)
            if shown != NOTHING and not _says_nothing(seen.fields[name], record):
                group.facts.append((seen.fields[name].label, shown))
        if group.facts:
            yield group


def _says_nothing(item: Field, record: Any) -> bool:
    """A switch that is off, or HTML that is shown elsewhere."""
    return (item.kind is Kind.BOOLEAN and not value_of(record, item)) or item.name.endswith("_html")


def related_lists(admin: EntityAdmin, request: HttpRequest, record: Any) -> list[RelatedList]:
    """The first records that point to this one, of each kind the person may read: two statements for each."""
    found = []
    for seen, item in _pointing(admin, request):
        other: EntityAdmin | None = admin.admin_site.admin_for(seen.entity)
        if other is None:
            continue
        columns = [shown for shown in other.listed_fields(seen) if shown.name != item.name][:RELATED_COLUMNS]
        records = with_computed(slim(seen.records().filter(**{item.name: record.pk}), seen), columns)
        rows = list(records.order_by(*other.get_ordering(request), "pk")[: RELATED_SHOWN + 1])
        attach_names(seen, rows, columns)
        cells = [Shown(shown, brief=True) for shown in columns]
        meta = seen.entity.model._meta
        may_add = other.has_add_permission(request)
        add = reverse(f"admin:{meta.app_label}_{meta.model_name}_add") if may_add else ""
        found.append(
            RelatedList(
                title=seen.entity.label_plural
                if not _is_second(item)
                else f"{seen.entity.label_plural} ({item.label})",
                columns=[shown.label for shown in columns],
                rows=[
                    (record_url(seen.entity, row.pk), [cell(row) for cell in cells])
                    for row in rows[:RELATED_SHOWN]
                ],
                has_more=len(rows) > RELATED_SHOWN,
                all_url=f"{list_url(seen.entity)}?{item.name}={record.pk}",
                add_url=f"{add}?{item.name}={record.pk}" if add else "",
                add_label=seen.entity.noun,
            )
        )
    return found


def _is_second(item: Field) -> bool:
    """Whether the relation is another than the obvious one, so that its name is to be said."""
    return item.name != item.to


def _pointing(admin: EntityAdmin, request: HttpRequest) -> Iterator[tuple[EntityView, Field]]:
    wanted = admin.related
    pairs = (
        [tuple(pair.split(".")) for pair in wanted]
        if wanted is not None
        else [
            (entity.name, item.name)
            for entity in entities
            for item in entity.relations_to(admin.entity.name)
            if item.kind is Kind.RELATION
        ]
    )
    for entity_name, field_name in pairs:
        if entity_name not in entities:
            continue
        seen = view(entity_name, admin.view_of(request).actor)
        if seen.can("read") and field_name in seen.askable:
            yield seen, seen.askable[field_name]
