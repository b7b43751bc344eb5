"""Sending what the outbox holds: claim and commit, hand over, note the end.

Nothing that a process does between the server's "250 OK" and its own commit can be seen afterwards. A mail that is found
`sending` after its lease may therefore have arrived or not; it is sent again under the same Message-ID, by which receivers
recognize a second copy. In every other case a mail is handed over once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db import models

from core.delivery.models import EmailFile, OutgoingEmail
from core.delivery.operations.outbox import SEND, enqueue_sending
from core.delivery.transports import (
    Deferred,
    Outgoing,
    OutgoingFile,
    Refused,
    Send,
    Transport,
    suppressed,
    transport_for,
)
from core.jobs.models import Job
from core.jobs.operations import backoff
from core.kernel.faultpoints import declare, fault
from core.kernel.transactions import needs_transaction, retried
from core.tenancy.context import company_context

declare("mail.claimed", "mail.accepted")

# Longer than all of SMTP's waits together (`EMAIL_TIMEOUT` for each of some eleven steps).
LEASE = timedelta(minutes=4)
# A mail that could not be handed over for so long has failed.
GIVE_UP_AFTER = timedelta(days=2)
# Open mails that are overdue for so long have lost their job: it was canceled, or given up.
OVERDUE_AFTER = timedelta(minutes=15)
MAX_ERROR = 2_000
State = OutgoingEmail.State

_log = structlog.get_logger("atrium.mail")


@dataclass(frozen=True)
class Attempt:
    """A mail that this process alone may send until the lease ends."""

    mail: Outgoing
    number: int
    transport: Transport
    first_tried_at: datetime


def send_pending(
    ids: Sequence[UUID], *, clock: Callable[[], datetime], keep: Callable[[], None] = lambda: None
) -> datetime | None:
    """Send those of the mails that are due, one after the other; when to come back for the rest, if any is left.

    Expects a system context and opens its own transactions. `keep` is called before each mail; what it raises ends the run.
    """
    with ExitStack() as open_sessions:
        sessions: dict[str, Send] = {}
        while True:
            keep()
            now = clock()
            attempt = retried(lambda: claim_next(ids, now=now))  # noqa: B023 - called before the next round
            if attempt is None:
                return _next_due(ids)
            fault("mail.claimed")
            name = attempt.transport.name
            if name not in sessions:
                sessions[name] = open_sessions.enter_context(attempt.transport.session())
            _hand_over(attempt, sessions[name], clock)


def _hand_over(attempt: Attempt, send: Send, clock: Callable[[], datetime]) -> None:
    try:
        send(attempt.mail)
    except Refused as refusal:
        reason = str(refusal)
        retried(lambda: close(attempt, State.FAILED, reason, now=clock()))
    except Deferred as delay:
        reason = str(delay)
        retried(lambda: postpone(attempt, reason, now=clock()))
    except Exception as error:
        # A mail that cannot even be built must not keep the others from leaving.
        _log.exception("mail could not be sent", email=str(attempt.mail.id), kind=attempt.mail.kind)
        reason = f"{type(error).__name__}: {error}"
        retried(lambda: postpone(attempt, reason, now=clock()))
    else:
        fault("mail.accepted")
        state = State.SENT if attempt.transport.delivers else State.SANDBOXED
        retried(lambda: close(attempt, state, "", now=clock()))


def claim_next(ids: Sequence[UUID], *, now: datetime) -> Attempt | None:
    """Take the next due mail for one lease; None when there is none that nobody else has. Needs a transaction.

    Commit before it is sent. A suppressed recipient is closed here, in the transaction that asked.
    """
    needs_transaction()
    due = models.Q(state=State.PENDING, due_at__lte=now) | models.Q(
        state=State.SENDING, leased_until__lte=now
    )
    while True:
        row = (
            OutgoingEmail.objects.select_for_update(skip_locked=True, no_key=True)
            .filter(due, pk__in=ids)
            .order_by("due_at", "pk")
            .first()
        )
        if row is None:
            return None
        attempt = Attempt(
            _outgoing(row), row.attempts + 1, transport_for(row.company_id, row.kind), row.created_at
        )
        barred = _ask_suppressions(row)
        if row.recipient in barred:
            _write(row.pk, State.SUPPRESSED, barred[row.recipient], now, confidential=row.is_confidential)
            continue
        OutgoingEmail.objects.filter(pk=row.pk).update(
            state=State.SENDING,
            attempts=attempt.number,
            leased_until=now + LEASE,
            transport=attempt.transport.name,
        )
        allowed = tuple(item for item in attempt.mail.cc if item not in barred)
        return replace(attempt, mail=replace(attempt.mail, cc=allowed))


def _ask_suppressions(row: OutgoingEmail) -> dict[str, str]:
    addresses = [row.recipient, *row.cc]
    if row.company_id is None:
        return suppressed(None, row.kind, addresses)
    with company_context(row.company_id, source="task"):
        return suppressed(row.company_id, row.kind, addresses)


def _outgoing(row: OutgoingEmail) -> Outgoing:
    ids = [item["file"] for item in row.attachments]
    contents = {
        str(key): bytes(content)
        for key, content in EmailFile.objects.filter(pk__in=ids).values_list("pk", "content")
    }
    return Outgoing(
        id=row.pk,
        company_id=row.company_id,
        kind=row.kind,
        recipient=row.recipient,
        recipient_name=row.recipient_name,
        sender=row.sender,
        cc=tuple(row.cc),
        reply_to=tuple(row.reply_to),
        subject=row.subject,
        text=row.text,
        html=row.html,
        headers=row.headers,
        files=tuple(
            OutgoingFile(item["name"], item["content_type"], contents[item["file"]], item["content_id"])
            for item in row.attachments
        ),
        message_id=row.message_id,
        created_at=row.created_at,
    )


def close(attempt: Attempt, state: str, error: str, *, now: datetime) -> bool:
    """End the mail in this state; False when another attempt has it by now. Needs a transaction."""
    needs_transaction()
    row = _held(attempt)
    if row is None:
        return False
    _write(row.pk, state, error, now, confidential=row.is_confidential and state != State.SANDBOXED)
    return True


def postpone(attempt: Attempt, error: str, *, now: datetime) -> bool:
    """Try again later, each time after a longer wait; after two days the mail has failed. Needs a transaction."""
    needs_transaction()
    row = _held(attempt)
    if row is None:
        return False
    due_at = now + backoff(attempt.number)
    if due_at > attempt.first_tried_at + GIVE_UP_AFTER:
        _write(row.pk, State.FAILED, error, now, confidential=row.is_confidential)
        return True
    OutgoingEmail.objects.filter(pk=row.pk).update(
        state=State.PENDING, due_at=due_at, leased_until=None, last_error=error[:MAX_ERROR]
    )
    return True


def _held(attempt: Attempt) -> OutgoingEmail | None:
    """The mail, locked, if this attempt still has it."""
    rows = OutgoingEmail.objects.select_for_update(no_key=True).only("pk", "is_confidential")
    found: OutgoingEmail | None = rows.filter(
        pk=attempt.mail.id, state=State.SENDING, attempts=attempt.number
    ).first()
    return found


def _write(mail_id: UUID, state: str, error: str, now: datetime, *, confidential: bool) -> None:
    blanked = {"text": "", "html": ""} if confidential else {}
    OutgoingEmail.objects.filter(pk=mail_id).update(
        state=state, closed_at=now, leased_until=None, last_error=error[:MAX_ERROR], **blanked
    )


def _next_due(ids: Sequence[UUID]) -> datetime | None:
    """When the first of the mails that are still open can be tried."""
    times = OutgoingEmail.objects.filter(pk__in=ids, state__in=(State.PENDING, State.SENDING)).values_list(
        "due_at", "leased_until"
    )
    found: list[datetime] = retried(lambda: [leased or due for due, leased in times])
    return min(found, default=None)


def resume_overdue(*, now: datetime) -> int:
    """Give open mails that lost their job a new one. Needs a transaction and a system context. Returns how many."""
    needs_transaction()
    late = now - OVERDUE_AFTER
    if Job.objects.filter(kind=SEND, state=Job.State.OPEN, due_at__lte=late).exists():
        # The workers are behind; nothing is lost.
        return 0
    rows = OutgoingEmail.objects.filter(
        models.Q(state=State.PENDING, due_at__lte=late)
        | models.Q(state=State.SENDING, leased_until__lte=late)
    )
    ids = list(rows.order_by("due_at", "pk").values_list("pk", flat=True)[:10_000])
    enqueue_sending(ids, now=now)
    return len(ids)
