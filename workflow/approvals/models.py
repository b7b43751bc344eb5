"""Processes of approval, requests that go through them, the tasks of approvers, and what happened to a request."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Lower

from core.tenancy.fields import PersonField, TenantForeignKey
from core.tenancy.models import CompanyIsolatedModel

MAX_HOURS = 8_784


class ProcessType(models.TextChoices):
    SINGLE = "single", "One step"
    MULTI_STEP = "multi_step", "Several steps"
    PARALLEL = "parallel", "All at once"
    HYBRID = "hybrid", "Mixed"


class ChainEnd(models.TextChoices):
    EXPIRE = "expire", "The request expires"
    APPROVE = "approve", "The request is approved"
    REJECT = "reject", "The request is rejected"


class Resubmission(models.TextChoices):
    RESTART = "restart", "From the first step"
    RESUME = "resume", "At the step that sent it back"


class RequestStatus(models.TextChoices):
    # Sent back to whoever submitted it.
    DRAFT = "draft", "Sent back"
    PENDING = "pending", "Pending"
    APPROVED = "approved", "Approved"
    REJECTED = "rejected", "Rejected"
    RECALLED = "recalled", "Recalled"
    CANCELED = "canceled", "Canceled"
    EXPIRED = "expired", "Expired"


class TaskStatus(models.TextChoices):
    # It is not their turn yet.
    WAITING = "waiting", "Waiting"
    OPEN = "open", "Open"
    APPROVED = "approved", "Approved"
    REJECTED = "rejected", "Rejected"
    # The step was decided, or the request ended, without them.
    CLOSED = "closed", "Closed"


UNDECIDED = (TaskStatus.WAITING, TaskStatus.OPEN)
UNFINISHED = (RequestStatus.DRAFT, RequestStatus.PENDING)


def _list() -> models.JSONField:
    return models.JSONField(blank=True, default=list, db_default=models.Value([], models.JSONField()))


class ApprovalProcess(CompanyIsolatedModel):
    """Who has to agree, in which steps."""

    name = models.CharField(max_length=200)
    description = models.TextField(blank=True, default="", db_default="")
    process_type = models.CharField(
        max_length=16,
        choices=ProcessType,
        default=ProcessType.MULTI_STEP,
        db_default=ProcessType.MULTI_STEP,
    )
    entity_type = models.CharField(max_length=64)
    # Which records may be submitted; null: all.
    entry_condition = models.JSONField(null=True, blank=True)
    # See `workflow.approvals.schemas.ApprovalStepDocument`.
    steps = _list()
    # For steps that do not say themselves.
    require_all_approvers = models.BooleanField(default=True, db_default=True)
    allow_self_approval = models.BooleanField(default=False, db_default=False)
    # What must not change while a request is pending, and what the approval is bound to.
    locked_fields = _list()
    enable_escalation = models.BooleanField(default=False, db_default=False)
    escalation_after_hours = models.IntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(MAX_HOURS)]
    )
    # Approvers, one for each level.
    escalation_chain = _list()
    at_chain_end = models.CharField(
        max_length=16, choices=ChainEnd, default=ChainEnd.EXPIRE, db_default=ChainEnd.EXPIRE
    )
    on_resubmit = models.CharField(
        max_length=16, choices=Resubmission, default=Resubmission.RESTART, db_default=Resubmission.RESTART
    )
    is_active = models.BooleanField(default=True, db_default=True)

    class Meta(CompanyIsolatedModel.Meta):
        verbose_name = "approval process"
        verbose_name_plural = "approval processes"
        constraints: ClassVar = [
            models.UniqueConstraint("company", Lower("name"), name="approvalprocess_name_unique"),
            models.CheckConstraint(name="approvalprocess_named", condition=~models.Q(name="")),
        ]

    def __str__(self) -> str:
        return self.name


class ApprovalRequest(CompanyIsolatedModel):
    """A record that waits for, or has got, the word of its approvers. It keeps the process as it was."""

    updated_at = None  # type: ignore[assignment]
    updated_by = None
    version = None  # type: ignore[assignment]

    process = TenantForeignKey(ApprovalProcess, related_name="requests")
    process_version = models.IntegerField()
    # The process as it was at submission; see `workflow.approvals.schemas.ProcessDocument`.
    definition = models.JSONField()
    entity_type = models.CharField(max_length=64)
    record_id = models.UUIDField()
    submitted_by = PersonField()
    comment = models.TextField(blank=True, default="")
    status = models.CharField(max_length=16, choices=RequestStatus, default=RequestStatus.PENDING)
    # The number of the step; null before the first one and after the last.
    current_step = models.IntegerField(null=True)
    # Grows with each opening of a step, so that no vote counts for another one.
    round = models.IntegerField(default=0)
    escalation_level = models.SmallIntegerField(default=0)
    due_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    # What the approval is bound to: the values of the locked fields, and their SHA-256.
    locked_fields = ArrayField(models.TextField(), default=list)
    snapshot = models.JSONField(default=dict)
    digest = models.CharField(max_length=64)

    # `ApprovalEvent` is its history.
    logged = False

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["company", "process", "record_id"],
                condition=models.Q(status__in=["draft", "pending"]),
                name="approvalrequest_one_open",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["company", "-created_at", "-id"], name="approvalrequest_newest"),
            models.Index(
                fields=["company", "record_id"],
                condition=models.Q(status="pending"),
                name="approvalrequest_locks",
            ),
            models.Index(
                fields=["due_at"],
                condition=models.Q(status="pending", due_at__isnull=False),
                name="approvalrequest_due",
            ),
        ]

    def __str__(self) -> str:
        return f"request {self.pk}"


class ApprovalTask(CompanyIsolatedModel):
    """One approver's part in one opening of a step."""

    updated_at = None  # type: ignore[assignment]
    updated_by = None
    version = None  # type: ignore[assignment]

    request = TenantForeignKey(ApprovalRequest, on_delete=models.CASCADE, related_name="tasks")
    step = models.IntegerField()
    round = models.IntegerField()
    position = models.IntegerField(default=0)
    approver = PersonField()
    # What named them: `role: manager`.
    resolved_from = models.CharField(max_length=200, blank=True, default="")
    weight = models.IntegerField(default=1)
    status = models.CharField(max_length=16, choices=TaskStatus, default=TaskStatus.OPEN)
    decided_at = models.DateTimeField(null=True)
    comment = models.TextField(blank=True, default="")
    delegated_from = PersonField(null=True)

    logged = False

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["company", "request", "round", "approver"], name="approvaltask_one_vote"
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["company", "approver", "-created_at", "-id"],
                condition=models.Q(status="open"),
                name="approvaltask_inbox",
            ),
        ]

    def __str__(self) -> str:
        return f"step {self.step}: {self.status}"


class ApprovalEvent(CompanyIsolatedModel):
    """Something that happened to a request. Never changed."""

    updated_at = None  # type: ignore[assignment]
    updated_by = None
    version = None  # type: ignore[assignment]

    request = TenantForeignKey(ApprovalRequest, on_delete=models.CASCADE, related_name="events")
    # `submitted`, `step_opened`, `approved`, …
    kind = models.CharField(max_length=32)
    step = models.IntegerField(null=True)
    # Null: time did it.
    person = PersonField(null=True)
    comment = models.TextField(blank=True, default="")

    logged = False

    class Meta(CompanyIsolatedModel.Meta):
        indexes: ClassVar = [models.Index(fields=["company", "request", "id"], name="approvalevent_history")]

    def __str__(self) -> str:
        return self.kind
