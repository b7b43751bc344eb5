"""Writes of reports and dashboards."""

from analytics.reports.operations.dashboards import (
    check_dashboard,
    create_dashboards,
    delete_dashboards,
    update_dashboards,
)
from analytics.reports.operations.reports import (
    check_report,
    create_reports,
    delete_reports,
    update_reports,
)

__all__ = [
    "check_dashboard",
    "check_report",
    "create_dashboards",
    "create_reports",
    "delete_dashboards",
    "delete_reports",
    "update_dashboards",
    "update_reports",
]
