"""Reports as people define them, and the times they were run."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Lower

from core.tenancy.fields import PersonField, TenantForeignKey
from core.tenancy.models import CompanyIsolatedModel


class ReportType(models.TextChoices):
    INTERACTIVE_PIVOT = "interactive_pivot", "Interactive pivot"
    TABULAR = "tabular", "Tabular"
    SUMMARY = "summary", "Summary"
    CHART = "chart", "Chart"


class Visibility(models.TextChoices):
    PRIVATE = "private", "Private"
    SHARED = "shared", "Shared with some"
    COMPANY = "company", "Everybody in the company"


class Frequency(models.TextChoices):
    DAILY = "daily", "Daily"
    WEEKLY = "weekly", "Weekly"
    MONTHLY = "monthly", "Monthly"
    CRON = "cron", "By a cron expression"


class DeliveryFormat(models.TextChoices):
    PDF = "pdf", "PDF"
    EXCEL = "excel", "Excel"
    CSV = "csv", "CSV"
    HTML = "html", "HTML"


class RunStatus(models.TextChoices):
    PENDING = "pending", "Pending"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"


def _json(default: type) -> models.JSONField:
    return models.JSONField(
        blank=True, default=default, db_default=models.Value(default(), models.JSONField())
    )


class Report(CompanyIsolatedModel):
    """A question about records of one kind. Whoever runs it sees what they may see, whosever report it is."""

    name = models.CharField(max_length=200)
    description = models.TextField(blank=True, default="", db_default="")
    report_type = models.CharField(
        max_length=24,
        choices=ReportType,
        default=ReportType.INTERACTIVE_PIVOT,
        db_default=ReportType.INTERACTIVE_PIVOT,
    )
    # The records it asks about, by the name of their list: deals, leads, …
    data_source = models.CharField(max_length=64)
    # As people write them; see `analytics.reports.schemas`.
    pivot_rows = _json(list)
    pivot_columns = _json(list)
    pivot_values = _json(list)
    pivot_filters = _json(list)
    sort = _json(dict)
    limits = _json(dict)
    show_subtotals = models.BooleanField(default=True, db_default=True)
    show_totals = models.BooleanField(default=True, db_default=True)
    chart_config = _json(dict)
    is_scheduled = models.BooleanField(default=False, db_default=False)
    schedule_frequency = models.CharField(
        max_length=16, choices=Frequency, default=Frequency.WEEKLY, db_default=Frequency.WEEKLY
    )
    # {"time": "08:00", "weekday": 1, "day": 1, "timezone": …, "cron": …, "per_recipient": …}
    schedule = _json(dict)
    schedule_recipients = _json(list)
    delivery_format = models.CharField(
        max_length=8, choices=DeliveryFormat, default=DeliveryFormat.PDF, db_default=DeliveryFormat.PDF
    )
    owner = PersonField(null=True, blank=True)
    visibility = models.CharField(
        max_length=16, choices=Visibility, default=Visibility.PRIVATE, db_default=Visibility.PRIVATE
    )
    # Ids of people and roles, for `Visibility.SHARED`.
    shared_with = _json(list)
    is_favorite = models.BooleanField(default=False, db_default=False)
    # When it is sent next; none while it is not scheduled.
    next_run_at = models.DateTimeField(null=True, blank=True, editable=False)

    # The clockwork moves it on; nobody has changed the report.
    unlogged_columns = CompanyIsolatedModel.unlogged_columns | {"next_run_at"}

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint("company", "owner", Lower("name"), name="report_name_unique"),
            models.CheckConstraint(name="report_named", condition=~models.Q(name="")),
        ]
        indexes: ClassVar = [
            models.Index(fields=["company", "-created_at", "-id"], name="report_newest"),
            models.Index(
                fields=["next_run_at"], condition=models.Q(next_run_at__isnull=False), name="report_due"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class ReportRun(CompanyIsolatedModel):
    """One time that a report was run."""

    class Trigger(models.TextChoices):
        PERSON = "person", "A person"
        SCHEDULE = "schedule", "The schedule"

    updated_at = None  # type: ignore[assignment]
    updated_by = None
    version = None  # type: ignore[assignment]

    report = TenantForeignKey(Report, on_delete=models.CASCADE, related_name="runs")
    trigger = models.CharField(max_length=16, choices=Trigger, default=Trigger.PERSON)
    # Whose rights decided what it shows.
    run_as = PersonField(null=True)
    status = models.CharField(max_length=16, choices=RunStatus, default=RunStatus.PENDING)
    format = models.CharField(max_length=8, default="json")
    # The address it was made for; empty for one that a person asked for.
    recipient = models.CharField(max_length=254, blank=True, default="")
    due_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    duration_ms = models.IntegerField(default=0)
    # Records that went into it, and whether the file holds everything.
    row_count = models.BigIntegerField(null=True)
    is_complete = models.BooleanField(null=True)
    error = models.TextField(blank=True, default="")
    # The job that makes its file, and the stored file.
    job_id = models.UUIDField(null=True)
    file_id = models.UUIDField(null=True)
    # Filters given beside those of the report.
    filters = models.JSONField(default=list)

    logged = False

    class Meta(CompanyIsolatedModel.Meta):
        indexes: ClassVar = [
            models.Index(fields=["company", "report", "-created_at", "-id"], name="reportrun_of_report"),
        ]

    def __str__(self) -> str:
        return f"run {self.pk}"


class Dashboard(CompanyIsolatedModel):
    """Reports side by side, with filters that all of them share."""

    name = models.CharField(max_length=200)
    description = models.TextField(blank=True, default="", db_default="")
    # As people write them; see `analytics.reports.schemas.WidgetDocument`.
    widgets = _json(list)
    filters = _json(list)
    owner = PersonField(null=True, blank=True)
    visibility = models.CharField(
        max_length=16, choices=Visibility, default=Visibility.PRIVATE, db_default=Visibility.PRIVATE
    )
    shared_with = _json(list)
    is_favorite = models.BooleanField(default=False, db_default=False)

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint("company", "owner", Lower("name"), name="dashboard_name_unique"),
            models.CheckConstraint(name="dashboard_named", condition=~models.Q(name="")),
        ]
        indexes: ClassVar = [
            models.Index(fields=["company", "-created_at", "-id"], name="dashboard_newest"),
        ]

    def __str__(self) -> str:
        return self.name
