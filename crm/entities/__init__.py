"""Facts of the CRM's records, by subject."""
# ruff: noqa: I001 - the registry keeps this order, and what it lists does

from crm.entities import parties, leads, pipelines, deals, catalog, engagement

__all__ = ["catalog", "deals", "engagement", "leads", "parties", "pipelines"]
