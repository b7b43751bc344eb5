"""The tables of the app, each declared in its subject's package."""

from analytics.currencies.models import ExchangeRate
from analytics.reports.models import Report, ReportRun

__all__ = ["ExchangeRate", "Report", "ReportRun"]
