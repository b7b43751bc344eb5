"""Mails with the links by which people join a company or found one.

The links are made by a job, so that no request knows a token and all take alike. Where a server delivers, the mails are
the installation's: no company carries or reads them, so that a link proves its address. In the sandbox the company sees
its own, and such a link proves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import quote
from uuid import UUID

from django.conf import settings

from core.delivery.operations.outbox import NewMail, send_mail
from core.delivery.system_mails import render_mail
from core.delivery.transports import leaves_the_house
from core.identity.models import Invitation, Registration, User
from core.identity.operations.proof import issue_link
from core.jobs.operations import NewJob, enqueue_many
from core.kernel.transactions import needs_transaction
from core.tenancy.actors import Actor, system_actor
from core.tenancy.context import company_context

SEND_INVITATIONS = "delivery.send_invitations"
SEND_REGISTRATIONS = "delivery.send_registrations"
PER_JOB = 100


def mail_invitations(ids: Sequence[UUID], now: datetime) -> None:
    """Have the links of these invitations mailed after the commit. Needs a transaction."""
    _enqueue(SEND_INVITATIONS, ids, now)


def mail_registrations(ids: Sequence[UUID], now: datetime) -> None:
    """Have the links of these registrations mailed after the commit. Needs a transaction."""
    _enqueue(SEND_REGISTRATIONS, ids, now)


def _enqueue(kind: str, ids: Sequence[UUID], now: datetime) -> None:
    parts = [ids[start : start + PER_JOB] for start in range(0, len(ids), PER_JOB)]
    enqueue_many(kind=kind, jobs=[NewJob({"ids": [str(item) for item in part]}) for part in parts], now=now)


def send_invitations(*, ids: Sequence[UUID], key: str, now: datetime) -> None:
    """Write the mails of those that are still open. Needs a transaction and a system context."""
    needs_transaction()
    is_mailed = leaves_the_house()
    pending = Invitation.objects.filter(pk__in=ids, state=Invitation.State.PENDING, expires_at__gt=now)
    found = list(pending.select_related("company").order_by("pk"))
    people = User.objects.in_bulk([row.created_by_id for row in found if row.created_by_id])
    for row in found:
        token = issue_link(row, is_mailed=is_mailed, now=now)
        inviter = people.get(row.created_by_id)
        _write(
            None if is_mailed else system_actor(row.company_id),
            name="invitation",
            key=f"{row.pk}:{key}",
            to=row.email,
            subject=f"Join {row.company.name} on Atrium CRM",
            facts={
                "email": row.email,
                "company": row.company.name,
                "inviter": str(inviter) if inviter else "",
                "link": f"{settings.PUBLIC_URL}/admin/invitation/?token={quote(token)}",
                "ends": row.expires_at,
            },
            now=now,
        )


def send_registrations(*, ids: Sequence[UUID], key: str, now: datetime) -> None:
    """Write the mails of those that are still open. Needs a transaction and a system context."""
    needs_transaction()
    is_mailed = leaves_the_house()
    for row in Registration.objects.filter(pk__in=ids, confirmed_at=None, expires_at__gt=now).order_by("pk"):
        token = issue_link(row, is_mailed=is_mailed, now=now)
        _write(
            None,
            name="registration",
            key=f"{row.pk}:{key}",
            to=row.email,
            subject="Confirm your new company on Atrium CRM",
            facts={
                "email": row.email,
                "company": row.company_name,
                "link": f"{settings.PUBLIC_URL}/admin/registration/?token={quote(token)}",
                "ends": row.expires_at,
            },
            now=now,
        )


def _write(
    actor: Actor | None,
    *,
    name: str,
    key: str,
    to: str,
    subject: str,
    facts: dict[str, object],
    now: datetime,
) -> None:
    text, html = render_mail(name, facts)
    mail = NewMail(
        kind=name,
        key=f"{name}:{key}",
        to=to,
        subject=" ".join(subject.split()),
        text=text,
        html=html,
        is_confidential=True,
    )
    if actor is None:
        send_mail(actor=None, mail=mail, now=now)
        return
    with company_context(actor.company_id, actor=actor, source="task"):
        send_mail(actor=actor, mail=mail, now=now)
