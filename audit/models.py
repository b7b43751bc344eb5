"""The log as audit shows it, and what people and machinery say of its entries: always in tables beside it."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Lower

from core.changes.models import ChangeLog
from core.tenancy.fields import PersonField, TenantForeignKey
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


class AuditPolicy(CompanyIsolatedModel):
    """What the company wants to hear of: conditions over entries of the log, and how long such entries are kept."""

    name = models.CharField(max_length=120)
    description = models.TextField(blank=True, default="", db_default="")
    is_active = models.BooleanField(default=True, db_default=True)
    # See `audit.policies.rules`.
    rules = models.JSONField(blank=True, default=list)
    # Empty: all.
    applies_to_entities = ArrayField(models.CharField(max_length=64), blank=True, default=list)
    applies_to_actions = ArrayField(models.CharField(max_length=64), blank=True, default=list)
    alert_on_violation = models.BooleanField(default=True, db_default=True)
    alert_recipients = ArrayField(models.CharField(max_length=254), blank=True, default=list)
    # How long entries that it speaks of have to be kept.
    retention_days = models.IntegerField(
        null=True, blank=True, validators=[MinValueValidator(30), MaxValueValidator(36_500)]
    )

    class Meta(CompanyIsolatedModel.Meta):
        verbose_name = "audit policy"
        verbose_name_plural = "audit policies"
        constraints: ClassVar = [
            models.UniqueConstraint("company", Lower("name"), name="auditpolicy_name_unique"),
            models.CheckConstraint(name="auditpolicy_named", condition=~models.Q(name="")),
        ]

    def __str__(self) -> str:
        return self.name


class AuditAlert(CompanyIsolatedModel):
    """An entry met a policy. Once for each policy and entry, however often the entry is looked at."""

    policy = TenantForeignKey(AuditPolicy, related_name="alerts")
    log_id = models.BigIntegerField()
    occurred_at = models.DateTimeField()
    action = models.CharField(max_length=64)
    entity_type = models.CharField(max_length=64)
    record_id = models.UUIDField(null=True)
    person = PersonField(null=True)
    # Places of the rules that it met.
    rules = models.JSONField(default=list)
    requires_review = models.BooleanField(default=False, db_default=False)

    class Meta(CompanyIsolatedModel.Meta):
        verbose_name = "audit alert"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["company", "policy", "log_id"], name="auditalert_once")
        ]
        indexes: ClassVar = [
            models.Index(fields=["company", "-created_at", "-id"], name="auditalert_newest"),
            models.Index(fields=["company", "log_id"], name="auditalert_entry"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.entity_type}"


class OutputStatus(models.TextChoices):
    PENDING = "pending", "Being made"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"
    CANCELED = "canceled", "Canceled"


class _Output(CompanyIsolatedModel):
    """Files that a job makes of the log for whoever created the row, by their rights at the time of the job."""

    name = models.CharField(max_length=120, blank=True, default="", db_default="")
    status = models.CharField(
        max_length=16, choices=OutputStatus, default=OutputStatus.PENDING, db_default=OutputStatus.PENDING
    )
    job_id = models.UUIDField(null=True)
    row_count = models.BigIntegerField(null=True)
    # What its reader should know, such as rows left out.
    notice = models.TextField(blank=True, default="", db_default="")
    error = models.TextField(blank=True, default="", db_default="")
    finished_at = models.DateTimeField(null=True)
    # When the files go; the row stays.
    expires_at = models.DateTimeField(null=True)

    class Meta(CompanyIsolatedModel.Meta):
        abstract = True

    def __str__(self) -> str:
        return self.name


class AuditLogExport(_Output):
    """Entries of the log as a file."""

    class FileFormat(models.TextChoices):
        CSV = "csv", "CSV"
        XLSX = "xlsx", "Excel"
        JSON = "json", "JSON"
        NDJSON = "ndjson", "NDJSON"
        PDF = "pdf", "PDF"

    file_format = models.CharField(
        max_length=8, choices=FileFormat, default=FileFormat.CSV, db_default=FileFormat.CSV
    )
    # As the parameters of the list of entries.
    filters = models.JSONField(blank=True, default=dict)
    file_id = models.UUIDField(null=True)
    # Null before it is done.
    is_complete = models.BooleanField(null=True)

    class Meta(_Output.Meta):
        abstract = False
        verbose_name = "audit log export"
        indexes: ClassVar = [
            models.Index(fields=["company", "-created_at", "-id"], name="auditexport_newest")
        ]


class ComplianceReport(_Output):
    """What the log says on one question, as PDF and as JSON."""

    class ReportType(models.TextChoices):
        ACCESS_REVIEW = "access_review", "Access review"
        DATA_CHANGES = "data_changes", "Data changes"
        PRIVILEGED_ACTIVITY = "privileged_activity", "Privileged activity"
        FAILED_LOGINS = "failed_logins", "Failed sign-ins"
        RETENTION = "retention", "Retention"
        DATA_SUBJECT_ACTIVITY = "data_subject_activity", "Data subject activity"

    report_type = models.CharField(max_length=32, choices=ReportType)
    # The end is excluded.
    period_start = models.DateTimeField(null=True, blank=True)
    period_end = models.DateTimeField(null=True, blank=True)
    # The record that a report on a data subject is about.
    subject_type = models.CharField(max_length=64, blank=True, default="", db_default="")
    subject_id = models.UUIDField(null=True, blank=True)
    pdf_file_id = models.UUIDField(null=True)
    json_file_id = models.UUIDField(null=True)

    class Meta(_Output.Meta):
        abstract = False
        verbose_name = "compliance report"
        indexes: ClassVar = [
            models.Index(fields=["company", "-created_at", "-id"], name="compliancereport_newest")
        ]


class AuditSeal(CompanyIsolatedModel):
    """The company's entries behind (`after_xid`, `after_id`) and up to (`until_xid`, `until_id`), sealed.

    See `audit.sealing.proofs`. Hashes are in hexadecimal; `log_ids` (8 bytes each), `leaves` and `salts` stand one behind the
    other in the order of the entries.
    """

    # A seal that was logged would have to be sealed, for ever.
    logged: ClassVar[bool] = False

    number = models.BigIntegerField()
    previous = models.CharField(max_length=64)
    after_xid = models.BigIntegerField()
    after_id = models.BigIntegerField()
    until_xid = models.BigIntegerField()
    until_id = models.BigIntegerField()
    row_count = models.IntegerField()
    log_ids = models.BinaryField()
    leaves = models.BinaryField()
    salts = models.BinaryField()
    root = models.CharField(max_length=64)
    digest = models.CharField(max_length=64)
    # By a key that is not in the database.
    signature = models.CharField(max_length=64)
    sealed_at = models.DateTimeField()

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["company", "number"], name="auditseal_number")
        ]
        indexes: ClassVar = [models.Index(fields=["-until_xid", "-until_id"], name="auditseal_place")]

    def __str__(self) -> str:
        return f"seal {self.number}"


class AuditRemoval(CompanyIsolatedModel):
    """Entries that retention took out of the log. The entry `log_id` says so and holds `digest`, so that the seals prove it."""

    # It belongs to that entry.
    logged: ClassVar[bool] = False

    log_id = models.BigIntegerField()
    # 8 bytes each, in their order.
    log_ids = models.BinaryField()
    # The SHA-256 of `log_ids`.
    digest = models.CharField(max_length=64)
    row_count = models.IntegerField()
    entity_types = ArrayField(models.CharField(max_length=64))
    # The time of the newest of them.
    newest_at = models.DateTimeField()

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["company", "log_id"], name="auditremoval_entry")
        ]

    def __str__(self) -> str:
        return f"{self.row_count} entries"
