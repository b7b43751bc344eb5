"""The worker's entry to mails, and their housekeeping."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.utils import timezone

from core.delivery.operations.housekeeping import purge_messages
from core.delivery.operations.invitations import (
    SEND_INVITATIONS,
    SEND_REGISTRATIONS,
    send_invitations,
    send_registrations,
)
from core.delivery.operations.outbox import SEND
from core.delivery.operations.password_reset import SEND_RESET, send_password_reset
from core.delivery.operations.sending import LEASE, resume_overdue, send_pending
from core.jobs.registry import JobRun, job_handler


@job_handler(SEND, tenancy="platform", transactional=False, lease=LEASE)
def send(run: JobRun) -> datetime | None:
    """Send the mails of one batch, of whichever companies; comes back until none is open."""
    ids = [UUID(item) for item in run.payload["emails"]]
    return send_pending(ids, clock=timezone.now, keep=run.heartbeat)


@job_handler(SEND_RESET, tenancy="platform")
def send_reset(run: JobRun) -> None:
    if run.payload["user"]:
        send_password_reset(user_id=UUID(run.payload["user"]), key=str(run.id), now=timezone.now())


@job_handler(SEND_INVITATIONS, tenancy="platform")
def invite(run: JobRun) -> None:
    send_invitations(ids=[UUID(item) for item in run.payload["ids"]], key=str(run.id), now=timezone.now())


@job_handler(SEND_REGISTRATIONS, tenancy="platform")
def confirm_registrations(run: JobRun) -> None:
    send_registrations(ids=[UUID(item) for item in run.payload["ids"]], key=str(run.id), now=timezone.now())


@job_handler("delivery.resume_overdue", tenancy="platform", every=timedelta(minutes=15))
def resume(run: JobRun) -> None:
    resume_overdue(now=timezone.now())


@job_handler(
    "delivery.purge",
    tenancy="platform",
    transactional=False,
    lease=timedelta(minutes=30),
    every=timedelta(days=1),
    offset=timedelta(hours=3, minutes=30),
)
def purge(run: JobRun) -> None:
    purge_messages(now=timezone.now())
