"""The base of every company's table."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from core.kernel.ids import uuid7
from core.tenancy import context
from core.tenancy.fields import CompanyField, PersonField


class ScopedManager(models.Manager[Any]):
    """Shows the rows of the company in context, and raises outside one: never "all rows" by accident."""

    def get_queryset(self) -> models.QuerySet[Any]:
        queryset = super().get_queryset()
        now = context.current()
        if now.system or "scope" not in settings.TENANCY_LOCKS:
            return queryset
        return queryset.filter(company_id=context.current_company_id())


class CompanyIsolatedModel(models.Model):
    """A row that belongs to one company. `version` grows by one with each change and is the record's ETag."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    company = CompanyField()
    created_at = models.DateTimeField(editable=False, db_default=Now())
    updated_at = models.DateTimeField(editable=False, db_default=Now())
    created_by = PersonField(null=True, blank=True, editable=False)
    updated_by = PersonField(null=True, blank=True, editable=False)
    version = models.IntegerField(editable=False, default=1, db_default=1)

    objects: ClassVar[Any] = ScopedManager()

    # Written to the change log by trigger. False only for machinery (queues, sessions), with a reason beside it.
    logged: ClassVar[bool] = True
    # Columns whose changes are bookkeeping, not history.
    unlogged_columns: ClassVar[frozenset[str]] = frozenset({"version", "updated_at", "updated_by_id"})

    class Meta:
        abstract = True
        base_manager_name = "objects"
