"""The reports and the dashboard that every company starts with; everybody in it may read them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from analytics.reports.models import Dashboard, Report, Visibility
from analytics.reports.operations.dashboards import create_dashboards
from analytics.reports.operations.reports import create_reports
from core.changes import Rows
from core.kernel.ids import uuid7
from core.tenancy.actors import Actor

_COUNT = {"field": "count", "aggregation": "count", "label": "Count"}
_AMOUNT = {"field": "amount", "aggregation": "sum", "label": "Amount"}
_OPEN = {"field": "status", "operator": "eq", "value": "open"}
_WON = {"field": "status", "operator": "eq", "value": "won"}


def _report(
    name: str,
    source: str,
    rows: list[Any],
    columns: list[Any],
    values: list[Any],
    *,
    filters: list[Any] | None = None,
    chart: dict[str, Any] | None = None,
    description: str = "",
    sort: dict[str, Any] | None = None,
) -> dict[str, Any]:
    return {
        "id": uuid7(),
        "name": name,
        "description": description,
        "data_source": source,
        "pivot_rows": rows,
        "pivot_columns": columns,
        "pivot_values": values,
        "pivot_filters": filters or [],
        "chart_config": chart or {},
        "sort": sort or {},
        "visibility": Visibility.COMPANY,
    }


def ready_reports() -> list[dict[str, Any]]:
    """Ten reports, by what people ask first."""
    largest = {"by": "amount_sum", "descending": True}
    return [
        _report(
            "Open pipeline by stage",
            "deals",
            ["stage"],
            [],
            [_AMOUNT, {"field": "expected_amount", "aggregation": "sum", "label": "Weighted"}, _COUNT],
            filters=[_OPEN],
            chart={"type": "bar", "x_axis": "stage", "y_axis": "amount"},
            sort=largest,
            description="What is open, and what it is worth by its odds.",
        ),
        _report(
            "Won by quarter",
            "deals",
            ["quarter"],
            [],
            [
                _AMOUNT,
                {**_AMOUNT, "name": "growth", "label": "Growth", "show_as": "growth"},
                {"field": "amount", "aggregation": "avg", "label": "Average"},
                _COUNT,
            ],
            filters=[_WON],
            chart={"type": "bar", "x_axis": "quarter", "y_axis": "amount"},
        ),
        _report(
            "Won by owner and quarter",
            "deals",
            ["owner"],
            ["quarter"],
            [_AMOUNT],
            filters=[_WON],
            chart={"type": "stacked_bar", "x_axis": "quarter", "y_axis": "amount", "color_by": "owner"},
        ),
        _report(
            "Revenue by product",
            "deals",
            ["product"],
            [],
            [_AMOUNT, {**_AMOUNT, "name": "share", "label": "Share", "show_as": "share_of_total"}, _COUNT],
            filters=[_WON],
            chart={"type": "pie", "x_axis": "product", "y_axis": "amount"},
            sort=largest,
            description="Line totals; what no line explains stands under (none).",
        ),
        _report(
            "Deals by industry and stage",
            "deals",
            ["account.industry"],
            ["stage"],
            [_AMOUNT, _COUNT],
            chart={"type": "heatmap", "x_axis": "stage", "y_axis": "amount", "color_by": "account.industry"},
        ),
        _report("Lost deals by reason", "deals", ["lost_reason"], [], [_COUNT, _AMOUNT],
                filters=[{"field": "status", "operator": "eq", "value": "lost"}],
                chart={"type": "bar", "x_axis": "lost_reason", "y_axis": "count"}),
        _report("Closing this quarter", "deals", ["owner", "forecast_category"], [], [_AMOUNT, _COUNT],
                filters=[_OPEN, {"field": "close_date", "operator": "eq", "value": "this_quarter"}],
                chart={"type": "stacked_bar", "x_axis": "owner", "y_axis": "amount", "color_by": "forecast_category"}),
        _report("Leads by source", "leads", ["source"], ["status"], [_COUNT],
                chart={"type": "stacked_bar", "x_axis": "source", "y_axis": "count", "color_by": "status"}),
        _report("New leads by month", "leads", ["created_at:month"], [], [_COUNT],
                chart={"type": "line", "x_axis": "created_at", "y_axis": "count"}),
        _report("Activities by type and owner", "activities", ["owner"], ["type"], [_COUNT],
                chart={"type": "stacked_bar", "x_axis": "owner", "y_axis": "count", "color_by": "type"}),
    ]  # fmt: skip


def seed_reports(actor: Actor, now: datetime) -> None:
    """Give a company without reports the ready ones and their dashboard. Needs a transaction in the company."""
    if Report.objects.exists():
        return
    reports = ready_reports()
    create_reports(actor=actor, rows=Rows.of(Report, reports), now=now).raise_if_refused()
    shown = [(0, 0, 0, 6), (1, 6, 0, 6), (2, 0, 1, 6), (3, 6, 1, 6), (7, 0, 2, 6), (8, 6, 2, 6)]
    dashboard = {
        "name": "Sales overview",
        "description": "What is open, what was won, and where leads come from.",
        "widgets": [
            {"report": str(reports[place]["id"]), "x": x, "y": 4 * y, "w": w, "h": 4, "show": "chart"}
            for place, x, y, w in shown
        ],
        "visibility": Visibility.COMPANY,
    }
    create_dashboards(actor=actor, rows=Rows.of(Dashboard, [dashboard]), now=now).raise_if_refused()
