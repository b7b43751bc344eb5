"""Reports in the back office: the list, the builder with its live result, the records behind a cell, files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import orjson
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from analytics.admin.grids import grid_context
from analytics.reports import queries
from analytics.reports.definitions import spelled_out
from analytics.reports.fields import fields_of
from analytics.reports.models import Frequency, Report, Visibility
from analytics.reports.operations.runs import ask_for_file
from analytics.reports.pivots import find_source
from analytics.reports.rendering import chart_of
from core.access import view
from core.access.writing import create_record, write_one
from core.backoffice.values import Shown, attach_names, list_url, name_of, names_of, record_url, slim
from core.backoffice.writing import actor_of
from core.entities import entities
from core.kernel.errors import DomainError, Fault, Invalid
from core.kernel.transactions import savepoint
from core.render.charts.vega import vega_lite
from core.tenancy.actors import Actor

RECORDS_SHOWN = 50
COLUMNS_SHOWN = 7
FILES = (("excel", "Excel"), ("pdf", "PDF"), ("csv", "CSV"), ("html", "HTML"))
CHARTS = (
    ("", "No chart"),
    ("bar", "Bars"),
    ("stacked_bar", "Stacked bars"),
    ("line", "Lines"),
    ("area", "Areas"),
    ("pie", "Pie"),
    ("heatmap", "Heat map"),
    ("scatter", "Scatter"),
    ("gauge", "Gauge"),
    ("funnel", "Funnel"),
)
# What a new report asks about, of what the person may report on.
FIRST = "deals"
SETTINGS = (
    "name",
    "description",
    "visibility",
    "is_scheduled",
    "schedule_frequency",
    "schedule",
    "schedule_recipients",
    "delivery_format",
)


def show_list(request: HttpRequest) -> HttpResponse:
    """The reports that the person sees, their favorites first."""
    from django.contrib.admin import site

    actor = actor_of(request)
    reports = view("report", actor)
    reports.require("read")
    page = Paginator(reports.records().order_by("-is_favorite", "name", "pk"), 100).get_page(
        request.GET.get("page")
    )
    people = names_of(actor, entities["user"], {item.owner_id for item in page if item.owner_id})
    context: dict[str, Any] = {
        **site.each_context(request),
        "title": "Reports",
        "rows": [
            (item, people.get(item.owner_id, "Everybody"), item.get_visibility_display()) for item in page
        ],
        "page": page,
        "may_create": reports.can("create"),
    }
    return TemplateResponse(request, "backoffice/reports.html", context)


# --- the builder -----------------------------------------------------------------------------------------------


def build(request: HttpRequest, report_id: UUID | None = None) -> HttpResponse:
    """One report with its builder; without an id a new one."""
    from django.contrib.admin import site

    actor = actor_of(request)
    reports = view("report", actor)
    reports.require("create" if report_id is None else "read")
    report: Report | None = None
    if report_id is not None:
        records = reports.with_verbs(reports.records(), ("update", "delete"))
        report = reports.get(report_id, records)
    sources = sources_of(actor)
    chosen = report.data_source if report else FIRST if any(name == FIRST for name, _ in sources) else ""
    document = _spelled_out(actor, report) if report else _new(chosen or (sources[0][0] if sources else ""))
    may_change = report is None or (reports.can("update") and reports.allows(report, "update"))
    context: dict[str, Any] = {
        **site.each_context(request),
        "title": report.name if report else "New report",
        "report": report,
        "state": {
            "id": str(report.pk) if report else "",
            "document": document,
            "settings": {name: getattr(report, name) for name in SETTINGS} if report else {},
            "version": report.version if report else None,
            "sources": {
                name: [vars(item) for item in fields_of(source)]
                for name, _ in sources
                if (source := find_source(actor, name)) is not None
            },
        },
        "sources": sources,
        "charts": CHARTS,
        "files": FILES,
        "visibilities": Visibility.choices,
        "frequencies": Frequency.choices[:3],
        "may_change": may_change,
        "may_create": reports.can("create"),
        "record_page": record_url(reports.entity, report.pk) if report else "",
    }
    return TemplateResponse(request, "backoffice/report.html", context)


def _spelled_out(actor: Actor, report: Report) -> dict[str, Any]:
    """The report's document with every dimension as an object, which the builder can change part by part."""
    document = queries.document_of(report)
    source = find_source(actor, report.data_source)
    for name in ("pivot_rows", "pivot_columns"):
        if source is not None and isinstance(document[name], list):
            document[name] = [
                spelled_out(source, item) if isinstance(item, str) else item for item in document[name]
            ]
    return document


def _new(source: str) -> dict[str, Any]:
    return {"data_source": source, "pivot_values": [{"field": "count", "aggregation": "count"}]}


def sources_of(actor: Actor) -> list[tuple[str, str]]:
    """What the person may report on: records that somebody owns or that belong to such."""
    return sorted(
        (
            (entity.plural, entity.label_plural)
            for entity in entities
            if (entity.owner is not None or entity.visible_through)
            and entity.name not in ("report", "dashboard")
            and find_source(actor, entity.plural) is not None
        ),
        key=lambda item: item[1],
    )


def _body(request: HttpRequest) -> dict[str, Any]:
    try:
        found = orjson.loads(request.body or b"{}")
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise Invalid(faults=[Fault("", "not_an_object", "A JSON object is expected.")])
    return found


def preview(request: HttpRequest) -> HttpResponse:
    """The result of what is in the builder, as a table and a chart."""
    actor = actor_of(request)
    try:
        body = _body(request)
        document = {name: body.get(name) for name in queries.DEFINING}
        with savepoint():
            answer = queries.run(actor, document, now=timezone.now())
            chart = chart_of(actor, document, str(body.get("name") or ""), now=timezone.now())
    except DomainError as refusal:
        return JsonResponse({"problem": _problem(refusal)}, status=refusal.status)
    drill_url = ""
    if body.get("id") and body.get("is_saved"):
        try:
            drill_url = reverse("admin:report_drill", args=[UUID(str(body["id"]))])
        except ValueError:
            drill_url = ""
    theme = "dark" if body.get("theme") == "dark" else "light"
    context = grid_context(answer, drill_url)
    return JsonResponse(
        {
            "html": render_to_string("backoffice/report_grid.html", context, request),
            "chart": vega_lite(chart, theme=theme) if chart else None,  # type: ignore[arg-type]
        }
    )


def _problem(refusal: DomainError) -> str:
    return " ".join(fault.detail for fault in refusal.faults) or refusal.detail


def save(request: HttpRequest) -> HttpResponse:
    """Keep what is in the builder, as a new report or in place of the old one."""
    actor = actor_of(request)
    try:
        body = _body(request)
        reports = view("report", actor)
        values = {name: body[name] for name in (*queries.DEFINING, *SETTINGS) if body.get(name) is not None}
        if body.get("version") is not None and body.get("id"):
            values["version"] = body["version"]
        with savepoint():
            if body.get("id"):
                reports.require("update")
                read = reports.read_input(values, partial=True, operation="update")
                saved = write_one(reports, "update", str(body["id"]), read, now=timezone.now())
            else:
                saved = create_record(reports, values, now=timezone.now())
    except DomainError as refusal:
        return JsonResponse({"problem": _problem(refusal)}, status=refusal.status)
    messages.success(request, "The report was saved.")
    return JsonResponse({"url": reverse("admin:report", args=[saved])})


# --- one report ------------------------------------------------------------------------------------------------


def drill(request: HttpRequest, report_id: UUID) -> HttpResponse:
    """The records behind a cell."""
    from django.contrib.admin import site

    actor = actor_of(request)
    reports = view("report", actor)
    reports.require("read")
    report = reports.get(report_id)
    try:
        keys = [queries.read_key(json.loads(request.GET.get(name, "[]")), name) for name in ("row", "column")]
        records = queries.drill(actor, queries.document_of(report), *keys, now=timezone.now())
    except (DomainError, ValueError):
        messages.error(request, "There is no such cell in this report any more.")
        return HttpResponseRedirect(reverse("admin:report", args=[report.pk]))
    source = find_source(actor, report.data_source)
    assert source is not None  # noqa: S101 - the drill has read it
    page = Paginator(slim(records.order_by("pk"), source), RECORDS_SHOWN).get_page(request.GET.get("page"))
    found = list(page)
    wanted = ("account", "stage", "status", "amount", "close_date", "owner")
    names = [
        item
        for meaning in wanted
        if (item := source.entity.by_meaning.get(meaning)) and item.name in source.fields
    ][:COLUMNS_SHOWN]
    attach_names(source, found, names)
    context: dict[str, Any] = {
        **site.each_context(request),
        "title": f"Records of {report.name}",
        "report": report,
        "columns": [source.entity.label, *(item.label for item in names)],
        "rows": [
            (
                record_url(source.entity, record.pk),
                name_of(source, record),
                [_value(record, item) for item in names],
            )
            for record in found
        ],
        "page": page,
        "all_url": list_url(source.entity),
        "noun": source.entity.noun_plural,
        "query": _query(request.GET),
    }
    return TemplateResponse(request, "backoffice/report_records.html", context)


def _value(record: Any, item: Any) -> str:
    return str(Shown(item)(record))


def _query(given: Mapping[str, Any]) -> str:
    return urlencode({name: given[name] for name in ("row", "column") if name in given})


def file(request: HttpRequest, report_id: UUID) -> HttpResponse:
    """Have a job write the report, and go on at the job's page."""
    actor = actor_of(request)
    reports = view("report", actor)
    reports.require("read")
    report = reports.get(report_id)
    chosen = request.POST.get("format", "")
    if chosen not in dict(FILES):
        messages.error(request, "Choose a format.")
        return HttpResponseRedirect(reverse("admin:report", args=[report.pk]))
    run = ask_for_file(actor, report, format=chosen, filters=[], now=timezone.now())
    return HttpResponseRedirect(reverse("admin:job", args=[run.job_id]))
