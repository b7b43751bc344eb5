"""Activities, tasks and notes: what happens around accounts, contacts, leads and deals.

Each points to the records it belongs to by plain references, at most one of each kind: the database keeps
them whole, and lists filter by them like by any field.
"""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models.functions import Lower

from core.entities.models import Record
from core.tenancy.fields import PersonField, TenantForeignKey
from core.tenancy.models import CompanyIsolatedModel
from crm.models import columns
from crm.models.choices import (
    ActivityStatus,
    ActivityType,
    CallOutcome,
    Direction,
    ParticipantKind,
    Priority,
    Response,
    TaskStatus,
    TaskType,
)
from crm.models.deals import Deal
from crm.models.leads import Lead
from crm.models.parties import Account, Contact


class Related(Record):
    """A record about others."""

    account = TenantForeignKey(Account, models.SET_NULL, null=True, blank=True, related_name="+")
    contact = TenantForeignKey(Contact, models.SET_NULL, null=True, blank=True, related_name="+")
    lead = TenantForeignKey(Lead, models.SET_NULL, null=True, blank=True, related_name="+")
    deal = TenantForeignKey(Deal, models.SET_NULL, null=True, blank=True, related_name="+")

    class Meta(Record.Meta):
        abstract = True
        # Partial: most rows have one or two of the four.
        indexes: ClassVar = [
            *Record.Meta.indexes,
            *(
                models.Index(
                    fields=["company", name],
                    name=f"%(class)s_{name}",
                    condition=models.Q(**{f"{name}__isnull": False}),
                )
                for name in ("account", "contact", "lead", "deal")
            ),
        ]


class Activity(Related):
    """A call, mail, meeting or other touch, planned or held. From a deal's side also called deal activity."""

    type = models.CharField(max_length=24, choices=ActivityType.choices)
    subject = models.CharField(max_length=255)
    description = columns.long_text()
    status = columns.choice(ActivityStatus, ActivityStatus.PLANNED)
    direction = columns.choice(Direction, Direction.OUTBOUND)
    # Filled by the operation: now, where not given.
    start_at = models.DateTimeField(blank=True)
    end_at = models.DateTimeField(null=True, blank=True)
    duration_minutes = models.IntegerField(null=True, blank=True)
    location = columns.text(255)
    outcome = columns.choice(CallOutcome)
    priority = columns.choice(Priority, Priority.NORMAL)
    completed_at = models.DateTimeField(null=True, editable=False)
    # Whether it counts as contact: sets the last-activity times and feeds scoring.
    counts_as_touch = columns.flag(True)
    search_vector = columns.search_vector(A=("subject",), D=("description", "location"))

    class Meta(Related.Meta):
        verbose_name_plural = "activities"
        constraints: ClassVar = [
            *Record.Meta.constraints,
            columns.not_blank("activity", "subject"),
            columns.not_blank("activity", "type"),
            *columns.one_of(
                "activity",
                type=ActivityType,
                status=ActivityStatus,
                direction=Direction,
                outcome=CallOutcome,
                priority=Priority,
            ),
            *columns.not_negative("activity", "duration_minutes"),
            models.CheckConstraint(
                name="activity_ends_after_start",
                condition=models.Q(end_at__isnull=True) | models.Q(end_at__gte=models.F("start_at")),
                violation_error_code="ends_before_start",
                violation_error_message="The end lies before the start.",
            ),
        ]
        indexes: ClassVar = [
            *Related.Meta.indexes,
            # Calendars, and scoring's window of recent touches.
            models.Index(fields=["company", "start_at"], name="activity_start_at"),
            GinIndex(fields=["search_vector", "tags"], name="activity_search"),
        ]

    def __str__(self) -> str:
        return self.subject


def _is_only(kind: str) -> models.Q:
    """The participant is of the kind, and nothing says it is another as well."""
    by_field = {
        name: models.Q(**{f"{name}__isnull": False}) if name != "email" else ~models.Q(email="")
        for name in ParticipantKind.values
    }
    condition = models.Q(kind=kind)
    for name, given in by_field.items():
        condition &= given if name == kind else ~given
    return condition


class ActivityParticipant(CompanyIsolatedModel):
    """Who takes part in an activity: a person of the company, a contact, a lead, or just an e-mail address."""

    activity = TenantForeignKey(Activity, models.CASCADE, related_name="participants")
    # Filled by the operation from what is given.
    kind = models.CharField(max_length=24, choices=ParticipantKind.choices, blank=True)
    user = PersonField(null=True, blank=True)
    contact = TenantForeignKey(Contact, models.CASCADE, null=True, blank=True, related_name="+")
    lead = TenantForeignKey(Lead, models.CASCADE, null=True, blank=True, related_name="+")
    email = columns.text(254)
    response = columns.choice(Response, Response.NONE)
    is_organizer = columns.flag()

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            *columns.one_of("activityparticipant", response=Response),
            models.CheckConstraint(
                name="activityparticipant_is_one",
                condition=_is_only("user") | _is_only("contact") | _is_only("lead") | _is_only("email"),
                violation_error_code="not_exactly_one",
                violation_error_message="Give exactly one of user, contact, lead and e-mail, and the kind that fits.",
            ),
            *(
                models.UniqueConstraint(
                    fields=["company", "activity", name],
                    name=f"activityparticipant_{name}_unique",
                    condition=models.Q(**{f"{name}__isnull": False}),
                )
                for name in ("user", "contact", "lead")
            ),
            models.UniqueConstraint(
                "company",
                "activity",
                Lower("email"),
                name="activityparticipant_email_unique",
                condition=~models.Q(email=""),
            ),
            models.UniqueConstraint(
                fields=["company", "activity"],
                name="activityparticipant_one_organizer",
                condition=models.Q(is_organizer=True),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["company", "activity"], name="participant_activity"),
            *(
                models.Index(
                    fields=["company", name],
                    name=f"participant_{name}",
                    condition=models.Q(**{f"{name}__isnull": False}),
                )
                for name in ("user", "contact", "lead")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.activity_id}"


class Task(Related):
    """Something to do, by a day or by a moment. With a moment, the day follows in the company's time zone."""

    subject = models.CharField(max_length=255)
    description = columns.long_text()
    type = columns.choice(TaskType, TaskType.TODO)
    status = columns.choice(TaskStatus, TaskStatus.NOT_STARTED)
    priority = columns.choice(Priority, Priority.NORMAL)
    start_date = models.DateField(null=True, blank=True)
    due_date = models.DateField(null=True, blank=True)
    due_at = models.DateTimeField(null=True, blank=True)
    reminder_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, editable=False)
    search_vector = columns.search_vector(A=("subject",), D=("description",))

    class Meta(Related.Meta):
        constraints: ClassVar = [
            *Record.Meta.constraints,
            columns.not_blank("task", "subject"),
            *columns.one_of("task", type=TaskType, status=TaskStatus, priority=Priority),
        ]
        indexes: ClassVar = [
            *Related.Meta.indexes,
            # A person's list of what is due; every task with a moment has the day too.
            models.Index(fields=["company", "owner", "due_date"], name="task_owner_due"),
            GinIndex(fields=["search_vector", "tags"], name="task_search"),
        ]

    def __str__(self) -> str:
        return self.subject


class Note(Related):
    """Written in Markdown about one or more records; `body_html` is its sanitized rendering."""

    title = columns.text(255)
    body = models.TextField()
    body_html = models.TextField(editable=False, default="", db_default="")
    is_pinned = columns.flag()
    edited_at = models.DateTimeField(null=True, editable=False)
    search_vector = columns.search_vector(A=("title",), D=("body",))

    class Meta(Related.Meta):
        constraints: ClassVar = [
            *Record.Meta.constraints,
            columns.not_blank("note", "body"),
        ]
        indexes: ClassVar = [
            *Related.Meta.indexes,
            GinIndex(fields=["search_vector", "tags"], name="note_search"),
        ]

    def __str__(self) -> str:
        return self.title or self.body[:50]
