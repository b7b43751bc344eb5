"""Dashboards: each widget's report, run with the filters that all of them share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from analytics.reports import queries
from analytics.reports.models import Dashboard, Report
from analytics.reports.queries import Answer
from analytics.reports.rendering import chart_of
from analytics.reports.schemas import WidgetDocument
from core.access import view
from core.kernel.errors import DomainError
from core.render import Chart
from core.tenancy.actors import Actor


@dataclass(frozen=True)
class Shown:
    """What a widget shows; a problem instead where its report cannot be run for whoever looks."""

    widget: WidgetDocument
    report: Report | None = None
    answer: Answer | None = None
    chart: Chart | None = None
    problem: str = ""

    @property
    def title(self) -> str:
        return self.widget.title or (self.report.name if self.report else "")


def show(actor: Actor, dashboard: Dashboard, *, now: datetime) -> list[Shown]:
    """Every widget as the actor may see it. One that cannot be shown keeps none of the others from being shown."""
    widgets = [WidgetDocument.model_validate(item) for item in dashboard.widgets]
    reports = view("report", actor)
    found = {}
    if reports.can("read"):
        keys = [UUID(item.report) for item in widgets]
        found = {report.pk: report for report in reports.records().filter(pk__in=keys)}
    return [_shown(actor, item, found.get(UUID(item.report)), dashboard.filters, now) for item in widgets]


def _shown(
    actor: Actor, widget: WidgetDocument, report: Report | None, filters: list[object], now: datetime
) -> Shown:
    if report is None:
        return Shown(widget, problem="This report is gone, or is not shared with you.")
    document = {**queries.document_of(report), "filters": filters}
    try:
        answer = queries.run(actor, document, now=now)
        chart = (
            chart_of(actor, document, widget.title or report.name, now=now)
            if widget.show != "table"
            else None
        )
    except DomainError as refusal:
        faults = " ".join(fault.detail for fault in refusal.faults)
        return Shown(widget, report, problem=f"{refusal.detail} {faults}".strip())
    return Shown(widget, report, answer, chart)
