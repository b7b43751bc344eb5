"""Dashboards in the back office."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from analytics.admin.grids import grid_context
from analytics.reports.dashboards import show as shown_widgets
from core.access import view
from core.backoffice.values import names_of, record_url
from core.backoffice.writing import actor_of
from core.entities import entities
from core.render.charts.vega import vega_lite


def show_list(request: HttpRequest) -> HttpResponse:
    """The dashboards that the person sees, their favorites first."""
    from django.contrib.admin import site

    actor = actor_of(request)
    dashboards = view("dashboard", actor)
    dashboards.require("read")
    page = Paginator(dashboards.records().order_by("-is_favorite", "name", "pk"), 100).get_page(
        request.GET.get("page")
    )
    people = names_of(actor, entities["user"], {item.owner_id for item in page if item.owner_id})
    context: dict[str, Any] = {
        **site.each_context(request),
        "title": "Dashboards",
        "rows": [
            (item, people.get(item.owner_id, "Everybody"), item.get_visibility_display()) for item in page
        ],
        "page": page,
    }
    return TemplateResponse(request, "backoffice/dashboards.html", context)


def show(request: HttpRequest, dashboard_id: UUID) -> HttpResponse:
    """One dashboard: its reports as charts and tables."""
    from django.contrib.admin import site

    actor = actor_of(request)
    dashboards = view("dashboard", actor)
    dashboards.require("read")
    dashboard = dashboards.get(dashboard_id)
    widgets = []
    for number, item in enumerate(shown_widgets(actor, dashboard, now=timezone.now())):
        charts = (
            {theme: vega_lite(item.chart, theme=theme) for theme in ("light", "dark")} if item.chart else None
        )
        if charts:
            for spec in charts.values():
                # The card has the title already.
                spec["title"] = {"text": "", "subtitle": spec["title"]["subtitle"]}
        widgets.append(
            {
                "id": f"widget-{number}",
                "chart_id": f"widget-{number}-chart",
                "title": item.title,
                "problem": item.problem,
                "url": reverse("admin:report", args=[item.report.pk]) if item.report else "",
                "width": item.widget.w,
                "charts": charts,
                "shows_table": item.widget.show != "chart" or not item.chart,
                "grid": grid_context(
                    item.answer, reverse("admin:report_drill", args=[item.report.pk]) if item.report else ""
                )
                if item.answer
                else None,
            }
        )
    context: dict[str, Any] = {
        **site.each_context(request),
        "title": dashboard.name,
        "dashboard": dashboard,
        "widgets": widgets,
        "record_page": record_url(dashboards.entity, dashboard.pk),
    }
    return TemplateResponse(request, "backoffice/dashboard.html", context)
