"""What the registry knows of reports."""

from __future__ import annotations

from analytics.reports import operations
from core.entities import Entity, Writes, fact, register

REPORT = register(
    Entity(
        name="report",
        plural="reports",
        model_label="analytics.Report",
        served_at="analytics/reports",
        description="Pivots, tables and charts over live records. Whoever runs one sees what they may see.",
        facts=(
            fact("name", meaning="name", search="A"),
            fact("description", search="D"),
            fact("report_type"),
            fact("data_source", description="The records it asks about, by the name of their list: deals."),
            fact(
                "pivot_rows",
                description="Dimensions down the side: `stage`, `account.industry`, `close_date:quarter`, or objects.",
            ),
            fact("pivot_columns", description="Dimensions across the top."),
            fact(
                "pivot_values", description="Measures: [{field, aggregation, label, show_as}], or formulas."
            ),
            fact("pivot_filters", description="Conditions that records must meet, all of them."),
            fact("sort", description="{by: label or a measure's name, descending}"),
            fact(
                "limits", description="{rows, columns}: so many of the outermost are kept, the rest is Other."
            ),
            fact("show_subtotals"),
            fact("show_totals"),
            fact("chart_config", description="{type, x_axis, y_axis, color_by, title}"),
            fact("is_scheduled"),
            fact("schedule_frequency"),
            fact("schedule", description="{time, weekday, day, timezone, cron, per_recipient}"),
            fact("schedule_recipients", description="E-mail addresses."),
            fact("delivery_format"),
            fact("owner", meaning="owner"),
            fact("visibility"),
            fact("shared_with", description="Ids of people and roles that a shared report is open to."),
            fact("is_favorite"),
            fact("next_run_at", read_only=True),
        ),
        writes=Writes(
            create=operations.create_reports,
            update=operations.update_reports,
            delete=operations.delete_reports,
            check=operations.check_report,
        ),
        ordering="name",
    )
)


DASHBOARD = register(
    Entity(
        name="dashboard",
        plural="dashboards",
        model_label="analytics.Dashboard",
        served_at="analytics/dashboards",
        description="Reports side by side, with filters that all of them share.",
        facts=(
            fact("name", meaning="name", search="A"),
            fact("description", search="D"),
            fact(
                "widgets",
                description="[{report, title, x, y, w, h, show}] on a grid of twelve columns; show: chart, table, both.",
            ),
            fact("filters", description="Conditions that the records of every report must meet."),
            fact("owner", meaning="owner"),
            fact("visibility"),
            fact("shared_with", description="Ids of people and roles that a shared dashboard is open to."),
            fact("is_favorite"),
        ),
        writes=Writes(
            create=operations.create_dashboards,
            update=operations.update_dashboards,
            delete=operations.delete_dashboards,
            check=operations.check_dashboard,
        ),
        ordering="name",
    )
)
