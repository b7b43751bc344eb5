"""Templates, jobs, and the staging area of imports."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Lower

from core.tenancy.fields import CompanyField, PersonField, TenantForeignKey
from core.tenancy.models import CompanyIsolatedModel


class FileFormat(models.TextChoices):
    CSV = "csv", "CSV, TSV and other delimited text"


class ImportMode(models.TextChoices):
    """What may happen to a row: become a record, change the one it matches, or either."""

    CREATE = "create", "Create records"
    UPDATE = "update", "Update records that match"
    UPSERT = "upsert", "Update records that match, create the others"


class JobStatus(models.TextChoices):
    UPLOADED = "uploaded", "Uploaded"
    MAPPED = "mapped", "Columns are mapped"
    VALIDATING = "validating", "Reading and checking"
    STAGED = "staged", "Checked, nothing written yet"
    IMPORTING = "importing", "Importing"
    COMPLETED = "completed", "Completed"
    COMPLETED_WITH_ERRORS = "completed_with_errors", "Completed, some rows failed"
    FAILED = "failed", "Failed"
    CANCELED = "canceled", "Canceled"


class RowStatus(models.TextChoices):
    PENDING = "pending", "Not checked yet"
    VALID = "valid", "To be imported"
    INVALID = "invalid", "Has errors"
    SKIPPED = "skipped", "Repeats another row, or changes nothing"
    CREATED = "created", "Created a record"
    UPDATED = "updated", "Updated a record"
    FAILED = "failed", "Refused when it was imported"


class _Settings(models.Model):
    """What is to be done with a file; see `data_import.schemas.ImportSettings`."""

    entity_type = models.CharField(max_length=64)
    file_format = models.CharField(
        max_length=16, choices=FileFormat, default=FileFormat.CSV, db_default=FileFormat.CSV
    )
    mode = models.CharField(
        max_length=16, choices=ImportMode, default=ImportMode.CREATE, db_default=ImportMode.CREATE
    )
    match_on = models.CharField(max_length=64, blank=True, default="", db_default="")
    field_mapping = models.JSONField(blank=True, default=dict)
    transformation_rules = models.JSONField(blank=True, default=list)
    validation_rules = models.JSONField(blank=True, default=list)
    required_fields = models.JSONField(blank=True, default=list)
    options = models.JSONField(blank=True, default=dict)

    class Meta:
        abstract = True


class ImportTemplate(_Settings, CompanyIsolatedModel):
    """Settings to use again."""

    name = models.CharField(max_length=255)
    description = models.TextField(blank=True, default="", db_default="")

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint("company", Lower("name"), name="importtemplate_name_unique"),
            models.CheckConstraint(name="importtemplate_named", condition=~models.Q(name="")),
        ]

    def __str__(self) -> str:
        return self.name


class ImportJob(_Settings, CompanyIsolatedModel):
    """One file on its way in. It belongs to who uploaded it."""

    owner = PersonField(null=True)
    template = TenantForeignKey(ImportTemplate, null=True, on_delete=models.SET_NULL, related_name="+")
    file_name = models.CharField(max_length=255)
    # Of the stored file, which may be gone when its time is over; the job stays.
    file_id = models.UUIDField(null=True)
    file_sha256 = models.CharField(max_length=64)
    file_size = models.BigIntegerField()
    status = models.CharField(max_length=24, choices=JobStatus, default=JobStatus.UPLOADED)
    # What the file turned out to be: encoding, delimiter, headers, a proposed mapping.
    detected = models.JSONField(blank=True, default=dict)
    # What was decided for whole columns: date formats, signs of numbers, words for yes and no.
    decisions = models.JSONField(blank=True, default=dict)
    total_count = models.IntegerField(default=0)
    valid_count = models.IntegerField(default=0)
    invalid_count = models.IntegerField(default=0)
    skipped_count = models.IntegerField(default=0)
    created_count = models.IntegerField(default=0)
    updated_count = models.IntegerField(default=0)
    failed_count = models.IntegerField(default=0)
    # About how much room its staged rows take; 0 when there are none.
    staged_bytes = models.BigIntegerField(default=0, db_default=0)
    # Of what the staged rows would do; the same rows and settings have the same.
    plan_digest = models.CharField(max_length=64, blank=True, default="", db_default="")
    # Stop when the plan stands.
    is_dry_run = models.BooleanField(default=False, db_default=False)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True, default="", db_default="")

    class Meta(CompanyIsolatedModel.Meta):
        indexes: ClassVar = [
            models.Index(fields=["company", "-created_at", "-id"], name="importjob_newest"),
            models.Index(fields=["company", "owner"], name="importjob_owner"),
        ]

    def __str__(self) -> str:
        return f"{self.file_name} to {self.entity_type}"


class ImportBatch(CompanyIsolatedModel):
    """A stretch of staged rows that is committed in one transaction; what is noted here has happened exactly once."""

    company = CompanyField(db_constraint=False)
    created_at = None  # type: ignore[assignment]
    updated_at = None  # type: ignore[assignment]
    created_by = None
    updated_by = None
    version = None  # type: ignore[assignment]

    job_id = models.UUIDField()
    # In the order in which they are committed. Rows that refer to others of the file come in later batches.
    number = models.IntegerField()
    first_row = models.IntegerField()
    last_row = models.IntegerField()
    row_count = models.IntegerField()
    committed_at = models.DateTimeField(null=True)

    # Bookkeeping of a job; what it writes to records is logged there.
    logged = False

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["company", "job_id", "number"], name="importbatch_number"),
        ]

    def __str__(self) -> str:
        return f"{self.job_id} #{self.number}"


class ImportStagingRecord(CompanyIsolatedModel):
    """A record of the file as it was read, what it means, and what becomes of it.

    `id` is the id of the record that it creates, so that a repeated attempt creates the same. Rows of a committed batch
    that are `valid` here were written; `queries.ROW_STATUS` says so.
    """

    # Staging must cost little more than the copying itself: no foreign keys (they would be checked row by row), no
    # bookkeeping columns, and a row is not written again when its batch is committed.
    company = CompanyField(db_constraint=False)
    created_at = None  # type: ignore[assignment]
    updated_at = None  # type: ignore[assignment]
    created_by = None
    updated_by = None
    version = None  # type: ignore[assignment]

    job_id = models.UUIDField()
    row_no = models.IntegerField()
    batch_no = models.IntegerField()
    raw = ArrayField(models.TextField())
    # One text for each target of the job, in its canonical form; ids for references. Null: nothing is given.
    mapped = ArrayField(models.TextField(null=True))
    errors = models.JSONField(null=True)
    status = models.CharField(max_length=16, choices=RowStatus)
    action = models.CharField(max_length=8, choices=[("create", "Create"), ("update", "Update")])
    # The record that it updates.
    match_id = models.UUIDField(null=True)

    logged = False

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["company", "job_id", "row_no"], name="importstaging_row"),
        ]
        indexes: ClassVar = [
            # The few that people look at, among all.
            models.Index(
                fields=["company", "job_id", "row_no"],
                condition=models.Q(status__in=("invalid", "failed")),
                name="importstaging_refused",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.job_id} row {self.row_no}"
