"""The outbox, the files that mails carry, notifications, and who wants to hear of what by which channel."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from core.tenancy.fields import CompanyField, PersonField
from core.tenancy.models import CompanyIsolatedModel


class EmailFile(CompanyIsolatedModel):
    """The bytes of attachments and inline images, stored once for each company however many mails carry them."""

    company = CompanyField(null=True)  # type: ignore[assignment]
    updated_at = None  # type: ignore[assignment]
    created_by = None
    updated_by = None
    version = None  # type: ignore[assignment]

    # SHA-256 of the content.
    digest = models.BinaryField(max_length=32)
    content = models.BinaryField()
    # When a mail that carries it was written last; what is younger than every mail is kept.
    last_used_at = models.DateTimeField()

    # Content of mails, which live and go together with them.
    logged = False

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["company", "digest"], name="email_file_unique", nulls_distinct=False
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)


class OutgoingEmail(CompanyIsolatedModel):
    """One mail to one recipient. A mail without a company is the installation's own and visible to system work alone."""

    class State(models.TextChoices):
        PENDING = "pending", "Waiting"
        SENDING = "sending", "Sending"
        SENT = "sent", "Sent"
        FAILED = "failed", "Failed"
        SUPPRESSED = "suppressed", "Suppressed"
        SANDBOXED = "sandboxed", "Sandboxed"

    company = CompanyField(null=True)  # type: ignore[assignment]
    # A mail changes only by machinery; who caused it is kept.
    updated_at = None  # type: ignore[assignment]
    updated_by = None
    version = None  # type: ignore[assignment]

    # What sort of mail it is, such as "password_reset" or "notification".
    kind = models.CharField(max_length=64)
    # The same key to the same recipient is the same mail.
    key = models.CharField(max_length=200)
    recipient = models.CharField(max_length=320)
    recipient_name = models.CharField(max_length=200, blank=True, default="")
    sender = models.CharField(max_length=400)
    cc = ArrayField(models.CharField(max_length=400), default=list)
    reply_to = ArrayField(models.CharField(max_length=400), default=list)
    subject = models.CharField(max_length=400)
    text = models.TextField()
    html = models.TextField(blank=True, default="")
    headers = models.JSONField(default=dict)
    # [{"file": id, "name": "plan.pdf", "content_type": "application/pdf", "size": 1234, "content_id": ""}]
    attachments = models.JSONField(default=list)
    # The body holds a secret (a link that opens an account): it is blanked once the mail has left.
    is_confidential = models.BooleanField(default=False)
    entity_type = models.CharField(max_length=64, blank=True, default="")
    entity_id = models.UUIDField(null=True)

    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    due_at = models.DateTimeField()
    attempts = models.IntegerField(default=0)
    # Until when the attempt that is under way may take; later it is held for dead.
    leased_until = models.DateTimeField(null=True)
    last_error = models.TextField(blank=True, default="")
    # The Message-ID, the same in every attempt.
    message_id = models.CharField(max_length=255)
    transport = models.CharField(max_length=64, blank=True, default="")
    closed_at = models.DateTimeField(null=True)
    correlation_id = models.CharField(max_length=128, blank=True, default="")

    # Every attempt would be an entry; the row itself is the record of what was sent.
    logged = False

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["company", "key", "recipient"], name="outgoing_email_once", nulls_distinct=False
            ),
            models.CheckConstraint(
                name="outgoing_email_closed_at",
                condition=models.Q(state__in=["pending", "sending"], closed_at__isnull=True)
                | (~models.Q(state__in=["pending", "sending"]) & models.Q(closed_at__isnull=False)),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["company", "-id"], name="outgoing_email_newest"),
            models.Index(fields=["company", "state", "-id"], name="outgoing_email_state"),
            models.Index(
                fields=["due_at"],
                name="outgoing_email_open",
                condition=models.Q(state__in=["pending", "sending"]),
            ),
            models.Index(
                fields=["closed_at"],
                name="outgoing_email_closed",
                condition=models.Q(closed_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.subject


class Notification(CompanyIsolatedModel):
    """Something a member should know, shown in the product until they have read it."""

    # It changes once, when it is read.
    updated_at = None  # type: ignore[assignment]
    updated_by = None
    version = None  # type: ignore[assignment]

    recipient = PersonField()
    # A name of `NOTIFICATION_KINDS`.
    kind = models.CharField(max_length=64)
    # The same key to the same recipient is the same notification.
    key = models.CharField(max_length=200)
    title = models.CharField(max_length=200)
    body = models.TextField(blank=True, default="")
    # The record it is about, if any.
    entity_type = models.CharField(max_length=64, blank=True, default="")
    entity_id = models.UUIDField(null=True)
    read_at = models.DateTimeField(null=True)

    # A message about a change that is logged where it happened.
    logged = False

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["company", "key", "recipient"], name="notification_once"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["company", "recipient", "-id"], name="notification_newest"),
            models.Index(
                fields=["company", "recipient", "-id"],
                name="notification_unread",
                condition=models.Q(read_at__isnull=True),
            ),
            models.Index(fields=["created_at"], name="notification_age"),
        ]

    def __str__(self) -> str:
        return self.title


class NotificationPreference(CompanyIsolatedModel):
    """By which channels a member wants to hear of a kind of notification; without a row the kind's defaults hold."""

    created_at = models.DateTimeField(editable=False, db_default=Now())
    updated_at = None  # type: ignore[assignment]
    created_by = None
    updated_by = None
    version = None  # type: ignore[assignment]

    person = PersonField()
    kind = models.CharField(max_length=64)
    channels = ArrayField(models.CharField(max_length=16), default=list, blank=True)

    # A taste, not a business record.
    logged = False

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["company", "person", "kind"], name="notification_preference_unique"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} for {self.person_id}"
