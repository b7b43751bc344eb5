"""The change log's tables. Rows are written by triggers and by `core.changes.facts` alone; nobody can change one.

`ChangeLog` is partitioned by month and so has no primary key in the database; `id` is unique all the same (identity).
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models

from core.tenancy.fields import CompanyField
from core.tenancy.models import ScopedManager


class ChangeContext(models.Model):
    """Who and from where: one row for each transaction that changed something."""

    id = models.BigIntegerField(primary_key=True)
    company = CompanyField(null=True, db_constraint=False, on_delete=models.DO_NOTHING)
    at = models.DateTimeField()
    actor_id = models.UUIDField(null=True)
    impersonator_id = models.UUIDField(null=True)
    api_key_id = models.UUIDField(null=True)
    session_id = models.UUIDField(null=True)
    source = models.TextField()
    ip = models.GenericIPAddressField(null=True)
    user_agent = models.TextField()
    correlation_id = models.TextField()
    # Why, when the system acted across companies.
    reason = models.TextField()
    # The log id of the change that caused this one, and how many such steps lie behind it.
    cause = models.BigIntegerField(null=True)
    depth = models.SmallIntegerField(default=0)
    # The transaction, so that no other one can use this row.
    xid = models.BigIntegerField()

    objects: ClassVar[Any] = ScopedManager()

    class Meta:
        managed = False
        db_table = "core_changecontext"
        base_manager_name = "objects"

    def __str__(self) -> str:
        return f"{self.source} at {self.at}"


class ChangeLog(models.Model):
    """One change of one record, or one fact worth keeping (a sign-in, an export).

    A `create` holds the key only: the row itself is its after-image, and earlier states are rebuilt by walking back.
    `old_values` and `new_values` hold just what changed, by field name.
    """

    id = models.BigIntegerField(primary_key=True)
    company = CompanyField(null=True, db_constraint=False, on_delete=models.DO_NOTHING)
    at = models.DateTimeField()
    # The writing transaction; with `id` it gives the order in which consumers read.
    xid = models.BigIntegerField()
    action = models.TextField()
    entity_type = models.TextField()
    entity_id = models.UUIDField(null=True)
    # Null, not empty: most entries have none, and a null takes no room.
    entity_name = models.TextField(null=True)  # noqa: DJ001
    old_values = models.JSONField(null=True)
    new_values = models.JSONField(null=True)
    changed_fields = ArrayField(models.TextField(), null=True)
    context = models.ForeignKey(
        ChangeContext, on_delete=models.DO_NOTHING, db_constraint=False, null=True, related_name="changes"
    )
    description = models.TextField(null=True)  # noqa: DJ001
    is_sensitive = models.BooleanField(default=False)
    requires_review = models.BooleanField(default=False)

    objects: ClassVar[Any] = ScopedManager()

    class Meta:
        managed = False
        db_table = "core_changelog"
        base_manager_name = "objects"

    def __str__(self) -> str:
        return f"{self.action} {self.entity_type} {self.entity_id}"


class Consumer(models.Model):
    """How far a reader of the change stream has come: everything up to (`xid`, `log_id`) is done or parked."""

    name = models.CharField(max_length=64, primary_key=True)
    xid = models.BigIntegerField(default=0)
    log_id = models.BigIntegerField(default=0)
    updated_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name


class ParkedChange(models.Model):
    """A change its consumer failed on again and again: shown, retried later, and out of the others' way."""

    consumer = models.ForeignKey(Consumer, on_delete=models.CASCADE, related_name="parked")
    log_id = models.BigIntegerField()
    company_id = models.UUIDField(null=True)
    attempts = models.IntegerField(default=1)
    error = models.TextField()
    next_try_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["consumer", "log_id"], name="parked_once")]
        indexes: ClassVar = [models.Index(fields=["next_try_at"], name="parked_due")]

    def __str__(self) -> str:
        return f"{self.consumer_id} at {self.log_id}"
