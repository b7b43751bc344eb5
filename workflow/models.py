"""Rules of a company and what they did: workflows, their versions, and runs.

A `Workflow` carries its triggers and actions as the document that people edit. Each change of that document makes a
`WorkflowVersion` with rows of its own; a run stays with the version it began with.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Lower

from core.tenancy.fields import PersonField, TenantForeignKey
from core.tenancy.models import CompanyIsolatedModel
from workflow.approvals.models import ApprovalEvent, ApprovalProcess, ApprovalRequest, ApprovalTask

__all__ = [
    "OPEN_RUNS",
    "ApprovalEvent",
    "ApprovalProcess",
    "ApprovalRequest",
    "ApprovalTask",
    "RunStatus",
    "StepStatus",
    "Workflow",
    "WorkflowAction",
    "WorkflowActionRun",
    "WorkflowRun",
    "WorkflowStatus",
    "WorkflowTrigger",
    "WorkflowType",
    "WorkflowVersion",
]


class WorkflowType(models.TextChoices):
    AUTOMATION = "automation", "When something happens"
    SCHEDULED = "scheduled", "At set times"
    MANUAL = "manual", "When somebody starts it"


class WorkflowStatus(models.TextChoices):
    DRAFT = "draft", "Draft"
    ACTIVE = "active", "Active"
    PAUSED = "paused", "Paused"
    ARCHIVED = "archived", "Archived"


class RunStatus(models.TextChoices):
    PENDING = "pending", "Pending"
    RUNNING = "running", "Running"
    WAITING = "waiting", "Waiting"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    CANCELED = "canceled", "Canceled"
    TIMED_OUT = "timed_out", "Timed out"
    SKIPPED = "skipped", "Not started"


class StepStatus(models.TextChoices):
    PENDING = "pending", "Pending"
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    RETRYING = "retrying", "To be tried again"
    SKIPPED = "skipped", "Skipped"


OPEN_RUNS = (RunStatus.PENDING, RunStatus.RUNNING, RunStatus.WAITING)


class Workflow(CompanyIsolatedModel):
    """A rule: what starts it, and what it then does."""

    name = models.CharField(max_length=200)
    description = models.TextField(blank=True, default="", db_default="")
    workflow_type = models.CharField(
        max_length=16,
        choices=WorkflowType,
        default=WorkflowType.AUTOMATION,
        db_default=WorkflowType.AUTOMATION,
    )
    status = models.CharField(
        max_length=16, choices=WorkflowStatus, default=WorkflowStatus.DRAFT, db_default=WorkflowStatus.DRAFT
    )
    # A switch beside the status: off, it starts nothing, whatever the status says.
    is_active = models.BooleanField(default=True, db_default=True)
    # The kind of records it is about; empty for one that is about none.
    entity_type = models.CharField(max_length=64, blank=True, default="", db_default="")
    # In whose name it acts. Null: the company's own machinery, for workflows that no person made.
    run_as = PersonField(null=True, blank=True)
    # Whether changes of its own runs may start it again.
    allow_reentry = models.BooleanField(default=False, db_default=False)
    # As people write them; see `workflow.schemas`.
    triggers = models.JSONField(blank=True, default=list, db_default=models.Value([], models.JSONField()))
    actions = models.JSONField(blank=True, default=list, db_default=models.Value([], models.JSONField()))
    # The number of the version that new runs take.
    current_version = models.IntegerField(default=0, db_default=0)

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint("company", Lower("name"), name="workflow_name_unique"),
            models.CheckConstraint(name="workflow_named", condition=~models.Q(name="")),
        ]
        indexes: ClassVar = [models.Index(fields=["company", "-created_at", "-id"], name="workflow_newest")]

    def __str__(self) -> str:
        return self.name


class WorkflowVersion(CompanyIsolatedModel):
    """What a workflow was at one time. Never changed."""

    updated_at = None  # type: ignore[assignment]
    updated_by = None
    version = None  # type: ignore[assignment]

    workflow = TenantForeignKey(Workflow, on_delete=models.CASCADE, related_name="versions")
    number = models.IntegerField()
    entity_type = models.CharField(max_length=64, blank=True, default="")
    triggers = models.JSONField(default=list)
    actions = models.JSONField(default=list)

    # The workflow's own entries in the log say who changed what.
    logged = False

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["company", "workflow", "number"], name="workflowversion_number"),
        ]

    def __str__(self) -> str:
        return f"version {self.number}"


class WorkflowTrigger(CompanyIsolatedModel):
    """What starts a version: an event, a schedule, or a date of the record."""

    class Kind(models.TextChoices):
        EVENT = "event", "An event"
        SCHEDULE = "schedule", "A schedule"
        DATE = "date", "A date of the record"

    updated_at = None  # type: ignore[assignment]
    updated_by = None
    version = None  # type: ignore[assignment]

    workflow = TenantForeignKey(Workflow, on_delete=models.CASCADE, related_name="+")
    of_version = TenantForeignKey(WorkflowVersion, on_delete=models.CASCADE, related_name="trigger_rows")
    # The same from version to version, so that no event starts one trigger twice.
    key = models.CharField(max_length=64)
    kind = models.CharField(max_length=16, choices=Kind)
    event_type = models.CharField(max_length=128, blank=True, default="")
    conditions = models.JSONField(null=True)
    # {"cron": …, "timezone": …}, or {"field": …, "offset_days": …, "at": …}
    schedule = models.JSONField(null=True)
    # The higher ones come first.
    priority = models.IntegerField(default=0)
    position = models.IntegerField(default=0)
    is_active = models.BooleanField(default=True)
    # Whether it is the one of its workflow's current version.
    is_current = models.BooleanField(default=True)
    next_due_at = models.DateTimeField(null=True)

    logged = False

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["company", "of_version", "key"], name="workflowtrigger_key"),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["company", "event_type"],
                condition=models.Q(is_current=True, kind="event"),
                name="workflowtrigger_event",
            ),
            models.Index(
                fields=["next_due_at"],
                condition=models.Q(is_current=True, next_due_at__isnull=False),
                name="workflowtrigger_due",
            ),
            models.Index(fields=["company", "workflow"], name="workflowtrigger_workflow"),
        ]

    def __str__(self) -> str:
        return self.event_type or self.kind


class WorkflowAction(CompanyIsolatedModel):
    """One step of a version."""

    updated_at = None  # type: ignore[assignment]
    updated_by = None
    version = None  # type: ignore[assignment]

    of_version = TenantForeignKey(WorkflowVersion, on_delete=models.CASCADE, related_name="action_rows")
    key = models.CharField(max_length=64)
    action_type = models.CharField(max_length=64)
    payload = models.JSONField(default=dict)
    ordering = models.IntegerField(default=0)
    position = models.IntegerField(default=0)
    allow_failure = models.BooleanField(default=False)
    # Attempts of an action that leaves the database, in all.
    max_attempts = models.IntegerField(default=1)
    delay_seconds = models.IntegerField(default=0)
    conditions = models.JSONField(null=True)
    # The branch or loop that it stands in, and there in which list.
    parent = TenantForeignKey("self", null=True, on_delete=models.CASCADE, related_name="children")
    branch = models.CharField(max_length=16, blank=True, default="")
    # Whose turn it is, for assignments that go round.
    turn = models.BigIntegerField(default=0)

    logged = False

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["company", "of_version", "key"], name="workflowaction_key"),
        ]
        indexes: ClassVar = [models.Index(fields=["company", "parent"], name="workflowaction_parent")]

    def __str__(self) -> str:
        return self.action_type


class WorkflowRun(CompanyIsolatedModel):
    """One time that a version was started; at most once for each trigger and event."""

    updated_at = None  # type: ignore[assignment]
    updated_by = None
    version = None  # type: ignore[assignment]

    workflow = TenantForeignKey(Workflow, on_delete=models.CASCADE, related_name="runs")
    of_version = TenantForeignKey(WorkflowVersion, on_delete=models.CASCADE, related_name="+")
    trigger = TenantForeignKey(WorkflowTrigger, null=True, on_delete=models.CASCADE, related_name="+")
    # Of the trigger and what started it: `t1:log:4711`.
    event_key = models.CharField(max_length=200)
    event_type = models.CharField(max_length=128, blank=True, default="")
    # The entry of the change log that started it, and what it said (`old` and `new` values).
    event_log_id = models.BigIntegerField(null=True)
    event = models.JSONField(default=dict)
    entity_type = models.CharField(max_length=64, blank=True, default="")
    record_id = models.UUIDField(null=True)
    status = models.CharField(max_length=16, choices=RunStatus, default=RunStatus.PENDING)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    # At work, without the waits.
    duration_ms = models.IntegerField(default=0)
    # How many changes in a row caused each other before this run.
    depth = models.SmallIntegerField(default=0)
    # The workflows whose runs led to this one, the first one first.
    ancestry = models.JSONField(default=list)
    error_code = models.CharField(max_length=64, blank=True, default="")
    error = models.TextField(blank=True, default="")
    # What a waiting run waits for.
    resume_at = models.DateTimeField(null=True)
    awaited_event = models.CharField(max_length=128, blank=True, default="")
    # The job that carries it on; no other one may meanwhile.
    job_id = models.UUIDField(null=True)
    correlation_id = models.CharField(max_length=128, blank=True, default="")

    # What a run writes to records is logged there, with the run as its origin.
    logged = False

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["company", "workflow", "event_key"], name="workflowrun_once"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["company", "-created_at", "-id"], name="workflowrun_newest"),
            models.Index(
                fields=["company", "workflow", "-created_at", "-id"], name="workflowrun_of_workflow"
            ),
            models.Index(
                fields=["company", "workflow", "record_id", "created_at"], name="workflowrun_record"
            ),
            models.Index(
                fields=["company", "awaited_event"],
                condition=models.Q(status="waiting") & ~models.Q(awaited_event=""),
                name="workflowrun_awaiting",
            ),
        ]

    def __str__(self) -> str:
        return f"run {self.pk}"


class WorkflowActionRun(CompanyIsolatedModel):
    """One step of a run."""

    updated_at = None  # type: ignore[assignment]
    updated_by = None
    version = None  # type: ignore[assignment]

    run = TenantForeignKey(WorkflowRun, on_delete=models.CASCADE, related_name="steps")
    action = TenantForeignKey(WorkflowAction, on_delete=models.CASCADE, related_name="+")
    # Where it stands in the run: the keys of the actions down to it, with the record of each turn of a loop.
    path = models.CharField(max_length=400)
    number = models.IntegerField(default=0)
    status = models.CharField(max_length=16, choices=StepStatus, default=StepStatus.PENDING)
    attempt = models.IntegerField(default=0)
    input = models.JSONField(default=dict)
    output = models.JSONField(default=dict)
    error_code = models.CharField(max_length=64, blank=True, default="")
    error = models.TextField(blank=True, default="")
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    duration_ms = models.IntegerField(default=0)

    logged = False

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["company", "run", "path"], name="workflowactionrun_once"),
        ]

    def __str__(self) -> str:
        return f"{self.path} {self.status}"
