"""The queue of record and the slots of schedules. Machinery: nothing here is a business record or is logged."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from core.tenancy.fields import CompanyField
from core.tenancy.models import CompanyIsolatedModel


class Job(CompanyIsolatedModel):
    """One piece of work. Open until its effect is committed, it is given up, or somebody cancels it.

    A job without a company is the installation's own and visible to system work alone.
    """

    class State(models.TextChoices):
        OPEN = "open", "Waiting or running"
        DONE = "done", "Done"
        FAILED = "failed", "Given up after its last attempt"
        CANCELED = "canceled", "Canceled"

    company = CompanyField(null=True)  # type: ignore[assignment]
    # A job changes only by machinery; who asked for it is kept, later hands are not.
    updated_at = None  # type: ignore[assignment]
    updated_by = None
    version = None  # type: ignore[assignment]

    kind = models.CharField(max_length=64)
    # What it is about, in a few words for people, such as the name of a file.
    subject = models.CharField(max_length=200, blank=True, default="", db_default="")
    # People see it under `/jobs/`; the others are machinery. Decided by its kind when it is enqueued.
    is_listed = models.BooleanField(default=False, db_default=False)
    # At most one open job of a kind has a given key; empty: no such limit.
    key = models.CharField(max_length=200, blank=True, default="")
    payload = models.JSONField(default=dict)
    state = models.CharField(max_length=8, choices=State, default=State.OPEN)
    due_at = models.DateTimeField()
    # When a message for it was sent last.
    rung_at = models.DateTimeField(null=True)
    # When a worker first took it.
    started_at = models.DateTimeField(null=True)
    # Starts since it last made headway.
    attempts = models.IntegerField(default=0)
    max_attempts = models.IntegerField(default=5)
    lease_until = models.DateTimeField(null=True)
    # Grows with every start: whoever holds an older one may not write any more.
    lease_token = models.BigIntegerField(default=0)
    # {"done": 1200, "total": 50000, "phase": "matching"}
    progress = models.JSONField(default=dict)
    # What its handler returned at the end; how people see it is for its kind to say.
    outcome = models.JSONField(null=True)
    # Why the last attempt failed: in the words of the program, for operators, and for people ({"code": …, "detail": …}).
    error = models.TextField(blank=True, default="")
    problem = models.JSONField(null=True)
    closed_at = models.DateTimeField(null=True)
    correlation_id = models.CharField(max_length=128, blank=True, default="")
    # Of whoever made the job, so that what it writes goes on in the same chain of causes.
    cause = models.BigIntegerField(null=True)
    depth = models.SmallIntegerField(default=0, db_default=0)

    # Every start, heartbeat and end would be an entry; what a job does is logged where it does it.
    logged = False

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["company", "kind", "key"],
                name="job_key_open",
                condition=models.Q(state="open") & ~models.Q(key=""),
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                name="job_closed_at",
                condition=models.Q(state="open", closed_at__isnull=True)
                | (~models.Q(state="open") & models.Q(closed_at__isnull=False)),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["due_at"], name="job_open_due", condition=models.Q(state="open")),
            models.Index(fields=["closed_at"], name="job_closed", condition=~models.Q(state="open")),
            models.Index(fields=["company", "kind", "-created_at"], name="job_newest"),
            models.Index(
                fields=["company", "-created_at", "-id"],
                name="job_listed",
                condition=models.Q(is_listed=True),
            ),
            models.Index(
                fields=["company", "created_by", "-created_at", "-id"],
                name="job_listed_own",
                condition=models.Q(is_listed=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


class Slot(models.Model):
    """One due time of a schedule, taken by whoever saw it first; unique, so that two beats do it once.

    `schedule` names the schedule in the whole installation (it holds an id, or a periodic job's kind).
    """

    schedule = models.CharField(max_length=200)
    due_at = models.DateTimeField()
    taken_at = models.DateTimeField()
    # Nobody was there in time and the schedule does not make up for it.
    is_missed = models.BooleanField(default=False)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["schedule", "due_at"], name="slot_once")]
        indexes: ClassVar = [models.Index(fields=["taken_at"], name="slot_age")]

    def __str__(self) -> str:
        return f"{self.schedule} at {self.due_at}"


class Heartbeat(models.Model):
    """When a part of the system last showed that it works."""

    name = models.CharField(max_length=64, primary_key=True)
    at = models.DateTimeField()
    details = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"{self.name} at {self.at}"
