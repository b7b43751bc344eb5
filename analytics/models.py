"""The tables of the app, each declared in its subject's package."""

from analytics.currencies.models import ExchangeRate
from analytics.reports.models import Dashboard, Report, ReportRun

__all__ = ["Dashboard", "ExchangeRate", "Report", "ReportRun"]
