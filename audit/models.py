"""The log as audit shows it, and what people and machinery say of its entries: always in tables beside it."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models

from core.changes.models import ChangeLog
from core.tenancy.models import CompanyIsolatedModel, ScopedManager


class AuditLog(ChangeLog):
    """An entry of the change log, read only."""

    objects: ClassVar[Any] = ScopedManager()

    class Meta:
        proxy = True
        base_manager_name = "objects"


class AuditReview(CompanyIsolatedModel):
    """Somebody looked at an entry: the creator of this row, at its creation. Final, as the entry is."""

    log_id = models.BigIntegerField()
    note = models.TextField(blank=True, default="", db_default="")

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["company", "log_id"],
                name="auditreview_once",
                violation_error_code="already_reviewed",
                violation_error_message="This entry was reviewed already.",
            )
        ]

    def __str__(self) -> str:
        return f"review of {self.log_id}"
