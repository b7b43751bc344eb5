"""The explorer of the change log: the list, what is new in it, its export, and counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.text import capfirst

from audit import queries
from audit.admin.lines import ICONS, action_words, kind_label, lines_of, page_context
from audit.documents import entry_documents
from audit.filters import AuditLogFilters
from audit.models import AuditLog
from audit.reading import LogReader
from audit.states import logged_models
from core.access import view
from core.access.writing import create_record
from core.backoffice.history import SOURCES
from core.backoffice.values import record_url
from core.backoffice.writing import actor_of
from core.changes.ddl import ROW_ACTIONS
from core.entities import entities
from core.identity.models import Person
from core.kernel.errors import DomainError, Invalid
from core.kernel.transactions import savepoint
from core.rest.filtered_lists import FilteredList

_LIST = FilteredList(AuditLogFilters, {"at": "id"}, "-at")
_SCOPE = "change log of the back office"
SENT = (*AuditLogFilters.base_filters, "cursor")
# Those of the filters that the bar shows at once.
SHOWN_AT_ONCE = frozenset({"text", "entity_type", "user", "action"})
PEOPLE_OFFERED = 500
NEWS_COUNTED = 100
DAYS = (1, 7, 30, 90)

TABS: tuple[tuple[str, dict[str, str]], ...] = (
    ("Everything", {}),
    ("To be reviewed", {"requires_review": "true", "is_reviewed": "false"}),
    ("Sensitive", {"is_sensitive": "true"}),
    ("Sign-ins that failed", {"action": "login_failed"}),
    ("Refused", {"action": "permission_denied"}),
)


def given_filters(request: HttpRequest) -> dict[str, str]:
    return {name: request.GET[name].strip() for name in SENT if request.GET.get(name, "").strip()}


def show_log(request: HttpRequest) -> HttpResponse:
    """Entries by what the person asks for, newest first."""
    actor = actor_of(request)
    queries.require_view(actor)
    given = given_filters(request)
    found = queries.without_hidden(actor, queries.entries(actor), given.get("field"))
    faults: Sequence[Any] = ()
    rows: Sequence[AuditLog] = ()
    following = previous = None
    try:
        page = _LIST.page({"cursor": "", **given}, found, scope=_SCOPE, zone=actor.zone)
        rows, following, previous = page.rows, page.next, page.previous
    except Invalid as refusal:
        faults = refusal.faults
    filters = {name: value for name, value in given.items() if name != "cursor"}
    is_first = "cursor" not in given and not faults
    context = page_context(
        request,
        "Change log",
        given=given,
        faults=faults,
        lines=lines_of(entry_documents(actor, rows)),
        following=following,
        previous=previous,
        tabs=[(label, urlencode(query), filters == query) for label, query in TABS],
        kinds=sorted(((kind, kind_label(kind)) for kind in _known_kinds()), key=lambda pair: pair[1]),
        people=Person.objects.order_by("full_name").values_list("id", "full_name", "email")[:PEOPLE_OFFERED],
        sources=sorted(SOURCES.items()),
        actions=[*ROW_ACTIONS, *ICONS],
        filters=filters,
        has_more_filters=bool(set(filters) - SHOWN_AT_ONCE),
        newest=rows[0].pk if rows else 0,
        news_query=urlencode(filters),
        is_live=is_first,
    )
    return TemplateResponse(request, "backoffice/audit_log.html", context)


def _known_kinds() -> set[str]:
    return {*logged_models(), *(entity.name for entity in entities), "request"}


def count_news(request: HttpRequest) -> HttpResponse:
    """How many entries there are behind the newest that the page shows."""
    actor = actor_of(request)
    queries.require_view(actor)
    given = given_filters(request)
    given.pop("cursor", None)
    after = request.GET.get("after", "")
    if not (after.isascii() and after.isdigit() and len(after) < 19):
        raise Http404
    filterset = AuditLogFilters(
        given, queryset=queries.without_hidden(actor, queries.entries(actor), given.get("field"))
    )
    if not filterset.is_valid():
        raise Http404
    count = filterset.qs.filter(pk__gt=int(after)).order_by()[:NEWS_COUNTED].count()
    return JsonResponse({"count": count})


def export(request: HttpRequest) -> HttpResponse:
    """Ask for an export of what the page shows, and go to it."""
    actor = actor_of(request)
    filters = {
        name: request.POST[name]
        for name in AuditLogFilters.base_filters
        if request.POST.get(name, "").strip()
    }
    document = {"filters": filters, "file_format": request.POST.get("file_format", "csv")}
    seen = view("audit_log_export", actor)
    try:
        with savepoint():
            made = create_record(seen, document, now=timezone.now())
    except DomainError as refusal:
        messages.error(request, refusal.detail)
        return HttpResponseRedirect(f"{reverse('admin:change_log')}?{urlencode(filters)}")
    return HttpResponseRedirect(record_url(entities["audit_log_export"], made))


def show_summary(request: HttpRequest) -> HttpResponse:
    """How much happened, by day, person, kind of record and action."""
    actor = actor_of(request)
    asked = request.GET.get("days", "30")
    days = int(asked) if asked in {str(choice) for choice in DAYS} else 30
    now = timezone.now()
    found = queries.summarize(actor, now - timedelta(days=days), now, "hour" if days == 1 else "day")
    names = LogReader(actor).names(("user", user) for user, _ in found.users if user)
    log = reverse("admin:change_log")

    def rows(counted: Sequence[tuple[Any, int]], name: str, label: Callable[[Any], str]) -> list[Any]:
        return [
            (f"{log}?{urlencode({name: value})}" if value else "", (label(value), f"{count:,}"))
            for value, count in counted[:10]
        ]

    chart = {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": "container",
        "height": 180,
        "data": {"values": [{"at": at.isoformat(), "entries": count} for at, count in found.buckets]},
        "mark": {"type": "bar"},
        "encoding": {
            "x": {"field": "at", "type": "temporal", "title": None},
            "y": {"field": "entries", "type": "quantitative", "title": "Entries"},
            "tooltip": [{"field": "at", "type": "temporal"}, {"field": "entries"}],
        },
    }
    context = page_context(
        request,
        "What happened",
        days=days,
        choices=DAYS,
        total=found.total,
        chart=chart,
        buckets=found.buckets,
        panels=[
            (
                "By person",
                "Person",
                rows(
                    found.users,
                    "user",
                    lambda user: names.get(("user", user), "Somebody who has left") if user else "The system",
                ),
            ),
            ("By kind of record", "Kind", rows(found.entities, "entity_type", kind_label)),
            ("By action", "Action", rows(found.actions, "action", lambda word: capfirst(action_words(word)))),
            (
                "By source",
                "Source",
                rows(
                    found.sources,
                    "source",
                    lambda word: capfirst(SOURCES.get(word, word.replace("_", " "))),
                ),
            ),
        ],
    )
    return TemplateResponse(request, "backoffice/audit_summary.html", context)
