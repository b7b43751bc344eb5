"""Writes of reports."""

from analytics.reports.operations.reports import (
    check_report,
    create_reports,
    delete_reports,
    update_reports,
)

__all__ = ["check_report", "create_reports", "delete_reports", "update_reports"]
