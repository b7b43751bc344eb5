"""Audit in the back office: pages of the change log, and policies, alerts, exports and reports."""

from audit.admin import pages, records

__all__ = ["pages", "records"]
