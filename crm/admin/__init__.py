"""The CRM in the back office: records by what one does with them, guided actions, home."""

from crm.admin import home, records

__all__ = ["home", "records"]
