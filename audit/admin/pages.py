"""Pages of the change log: the explorer, one entry, a record through time, counts, seals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, cast
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.admin import site
from django.db.models import Sum
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.text import capfirst
from django.views.decorators.http import require_POST

from audit import queries
from audit.admin.diffs import detail_lines, diff_lines, state_lines
from audit.documents import AuditLogDocument, entry_documents, history_documents
from audit.filters import AuditLogFilters
from audit.models import AuditLog, AuditSeal
from audit.operations.reverts import LaterChanges, revert_entry
from audit.operations.reviews import review_entry
from audit.operations.seals import header_of
from audit.reading import LogReader
from audit.rights import MANAGE_AUDIT, VIEW_AUDIT
from audit.sealing import checkpoints
from audit.sealing.proofs import digest_of
from audit.sealing.verifying import MOST_PROBLEMS, verify_company
from audit.states import logged_models, steps_of
from core.access import view
from core.access.writing import create_record
from core.backoffice.history import ACTIONS, SOURCES
from core.backoffice.site import BackOfficeSite, Page
from core.backoffice.values import record_url
from core.backoffice.writing import actor_of
from core.changes.ddl import ROW_ACTIONS
from core.entities import entities
from core.identity.models import Person
from core.kernel.errors import DomainError, Invalid
from core.kernel.transactions import savepoint
from core.rest.filtered_lists import FilteredList
from core.tenancy.actors import Actor

_LIST = FilteredList(AuditLogFilters, {"at": "id"}, "-at")
_SCOPE = "change log of the back office"
SENT = (*AuditLogFilters.base_filters, "cursor")
# Those of the filters that the bar shows at once.
SHOWN_AT_ONCE = frozenset({"text", "entity_type", "user", "action"})
PEOPLE_OFFERED = 500
STEPS_SHOWN = 200
NEWS_COUNTED = 100
SEALS_SHOWN = 50
# More entries than a request should hash; `audit_verify` takes any number.
MOST_VERIFIED = 300_000
DAYS = (1, 7, 30, 90)
TABS: tuple[tuple[str, dict[str, str]], ...] = (
    ("Everything", {}),
    ("To be reviewed", {"requires_review": "true", "is_reviewed": "false"}),
    ("Sensitive", {"is_sensitive": "true"}),
    ("Sign-ins that failed", {"action": "login_failed"}),
    ("Refused", {"action": "permission_denied"}),
)


def _may_view(actor: Actor) -> bool:
    return actor.rights.can(VIEW_AUDIT)


def _given(request: HttpRequest) -> dict[str, str]:
    return {name: request.GET[name].strip() for name in SENT if request.GET.get(name, "").strip()}


def _lines(documents: Sequence[AuditLogDocument]) -> list[dict[str, Any]]:
    """Entries as lines of a timeline."""
    return [
        {
            "entry": document,
            "who": _who(document),
            "what": _words(document.action),
            "source": SOURCES.get(document.source, document.source.replace("_", " ")),
            "kind": _label(document.entity_type),
            "record": document.entity_name or (str(document.entity_id) if document.entity_id else ""),
            "icon": _ICONS.get(document.action, "info"),
            "fields": [name.replace("_", " ") for name in document.changed_fields[:6]],
            "more": max(0, len(document.changed_fields) - 6),
        }
        for document in documents
    ]


_ICONS = {
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


def _words(action: str) -> str:
    return ACTIONS.get(action, action.replace("_", " "))


def _label(kind: str) -> str:
    entity = entities.find(kind)
    return entity.label if entity is not None else kind.replace("_", " ").capitalize()


def _bound(request: HttpRequest, title: str, **more: Any) -> dict[str, Any]:
    return {
        **site.each_context(request),
        "title": title,
        "may_manage": actor_of(request).rights.can(MANAGE_AUDIT),
        **more,
    }


# --- the explorer --------------------------------------------------------------------------------------------------


def show_log(request: HttpRequest) -> HttpResponse:
    """Entries by what the person asks for, newest first."""
    actor = actor_of(request)
    queries.require_view(actor)
    given = _given(request)
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
    context = _bound(
        request,
        "Change log",
        given=given,
        faults=faults,
        lines=_lines(entry_documents(actor, rows)),
        following=following,
        previous=previous,
        tabs=[(label, urlencode(query), filters == query) for label, query in TABS],
        kinds=sorted(((kind, _label(kind)) for kind in _known_kinds()), key=lambda pair: pair[1]),
        people=Person.objects.order_by("full_name").values_list("id", "full_name", "email")[:PEOPLE_OFFERED],
        sources=sorted(SOURCES.items()),
        actions=[*ROW_ACTIONS, *_ICONS],
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
    given = _given(request)
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


# --- one entry -----------------------------------------------------------------------------------------------------


def show_entry(request: HttpRequest, log_id: int) -> HttpResponse:
    """One entry: who, when, from where, and each field before and after."""
    actor = actor_of(request)
    entry = queries.get_entry(actor, log_id)
    return TemplateResponse(request, "backoffice/audit_entry.html", _entry_context(request, entry))


def _entry_context(request: HttpRequest, entry: AuditLog, **more: Any) -> dict[str, Any]:
    actor = actor_of(request)
    [document] = history_documents(actor, [entry])
    [line] = _lines([document])
    reader = LogReader(actor)
    is_change = entry.action in ROW_ACTIONS
    entity = entities.find(entry.entity_type)
    seal = (
        AuditSeal.objects.defer("leaves", "salts", "log_ids")
        .filter(until_xid__gte=entry.xid, after_xid__lte=entry.xid)
        .order_by("number")
        .last()
    )
    return _bound(
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


# --- one record ----------------------------------------------------------------------------------------------------


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
    lines = _lines(history_documents(actor, rows))
    for line in lines:
        line["diff"] = diff_lines(reader, entity_type, line["entry"].changes)
    entity = entities.find(entity_type)
    name = next((document["record"] for document in lines if document["record"]), str(record_id))
    context = _bound(
        request,
        f"{_label(entity_type)} {name}",
        lines=lines,
        has_more=has_more,
        entity_type=entity_type,
        record_id=record_id,
        record_page=record_url(entity, record_id) if entity is not None else "",
        steps=len(steps),
        place=place,
        chosen=chosen,
        chosen_action=_words(chosen.action) if chosen else "",
        state=state_lines(reader, entity_type, then, reader.values(entity_type, latest)),
        is_there=chosen is not None and chosen.after is not None,
    )
    return TemplateResponse(request, "backoffice/audit_record.html", context)


# --- counts --------------------------------------------------------------------------------------------------------


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
    context = _bound(
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
            ("By kind of record", "Kind", rows(found.entities, "entity_type", _label)),
            ("By action", "Action", rows(found.actions, "action", lambda word: capfirst(_words(word)))),
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


# --- seals ---------------------------------------------------------------------------------------------------------


def show_seals(request: HttpRequest) -> HttpResponse:
    """The seals with their state, and what is not sealed yet; POST verifies every entry."""
    actor = actor_of(request)
    queries.require_view(actor)
    found = list(AuditSeal.objects.defer("leaves", "salts", "log_ids").order_by("-number")[: SEALS_SHOWN + 1])
    last = found[0] if found else None
    waiting = queries.entries(actor)
    if last is not None:
        waiting = waiting.filter(pk__gt=last.until_id)
    sealed = AuditSeal.objects.aggregate(total=Sum("row_count"))["total"] or 0
    verified = None
    is_too_large = sealed > MOST_VERIFIED
    if request.method == "POST" and not is_too_large:
        verified = verify_company(actor.company_id)
    context = _bound(
        request,
        "Seals",
        rows=[{"seal": seal, "is_genuine": _is_genuine(seal)} for seal in found[:SEALS_SHOWN]],
        has_more=len(found) > SEALS_SHOWN,
        last=last,
        sealed=sealed,
        waiting=waiting.count(),
        verified=verified,
        problems=verified.problems[:SEALS_SHOWN] if verified else [],
        most=MOST_PROBLEMS,
        is_too_large=is_too_large,
        slug=_slug(request),
    )
    return TemplateResponse(request, "backoffice/audit_seals.html", context)


def _is_genuine(seal: AuditSeal) -> bool:
    """Whether the seal says what it said when this installation signed it."""
    digest = digest_of(header_of(seal))
    return digest == seal.digest and checkpoints.is_genuine(digest, seal.signature)


def _slug(request: HttpRequest) -> str:
    place: Mapping[str, Any] = site.each_context(request)
    return str(place["bo"].company.slug)


_PAGES = (
    Page("Change log", "change_log", "manage_search", "Audit", "change-log/", show_log, 10, _may_view),
    Page(
        "What happened",
        "change_log_summary",
        "bar_chart",
        "Audit",
        "change-summary/",
        show_summary,
        15,
        _may_view,
    ),
    Page("Seals", "change_log_seals", "verified_user", "Audit", "seals/", show_seals, 20, _may_view),
    *(
        Page(title, name, "", "Audit", f"change-log/{route}", shown, in_navigation=False)
        for title, name, route, shown in (
            ("Newer entries", "change_log_news", "news/", count_news),
            ("Export", "change_log_export", "export/", require_POST(export)),
            ("Entry", "change_log_entry", "<int:log_id>/", show_entry),
            ("Review", "change_log_review", "<int:log_id>/review/", require_POST(review)),
            ("Revert", "change_log_revert", "<int:log_id>/revert/", require_POST(revert)),
            ("Record", "change_log_record", "records/<str:entity_type>/<uuid:record_id>/", show_record),
        )
    ),
)
for _page in _PAGES:
    cast(BackOfficeSite, site).add_page(_page)
