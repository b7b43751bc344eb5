"""Analytics in the back office: reports with their builder, dashboards, exchange rates."""

from analytics.admin import dashboards, pages, records, reports

__all__ = ["dashboards", "pages", "records", "reports"]
