"""A forgotten password: a mail with a link, and a new password by it."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote
from uuid import UUID

from django.conf import settings

from core.changes.facts import record_fact
from core.delivery.operations.outbox import NewMail, send_mail
from core.delivery.system_mails import render_mail
from core.delivery.transports import leaves_the_house
from core.identity.models import User
from core.identity.operations import throttle
from core.identity.operations.password_reset import make_reset_token, reset_password
from core.identity.operations.passwords import read_email
from core.jobs.operations import enqueue
from core.kernel.transactions import needs_transaction, retried
from core.tenancy import context
from core.tenancy.actors import Actor, system_actor
from core.tenancy.context import company_context, system_context

SEND_RESET = "delivery.send_password_reset"


def request_password_reset(*, email: str, now: datetime, source: str = "api") -> None:
    """Have a link mailed to this address if it is an active person's; nothing tells the caller whether it is.

    Known and unknown take the same statements: the mail is written by a job. Commits by itself, so that a try stays
    counted. Raises: Invalid for what cannot be an address, TooManyRequests.
    """
    address = read_email(email)
    origin = context.current().origin
    throttle.claim([throttle.of_reset(address), throttle.of_reset_address(origin.ip)], now)

    def work() -> None:
        user = User.objects.filter(email=address, is_active=True).only("pk").first()
        # What was typed for nobody's address is not kept.
        enqueue(kind=SEND_RESET, payload={"user": str(user.pk) if user else None}, now=now)

    with system_context("asking for a new password", source=source, origin=origin):
        retried(work)


def send_password_reset(*, user_id: UUID, key: str, now: datetime) -> None:
    """Write the mail with the link. Needs a transaction and a system context."""
    needs_transaction()
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None:
        return
    actor = _sender_for(user)
    token = make_reset_token(user, now=now)
    link = f"{settings.PUBLIC_URL}/admin/password-reset/new/?token={quote(token)}"
    minutes = settings.PASSWORD_RESET_TIMEOUT // 60
    _write(user, actor, "password_reset", key, "Reset your password", {"link": link, "minutes": minutes}, now)
    record_fact(
        action="password_reset_requested",
        entity_type="user",
        entity_id=user.pk,
        entity_name=user.email,
        company_id=actor.company_id if actor else None,
    )


def confirm_password_reset(*, token: str, new_password: str, now: datetime, source: str = "api") -> None:
    """Set the new password, end all sessions of the person, and tell them by mail. Commits by itself.

    Raises: Invalid (`token_invalid`, or the password rules).
    """

    def work() -> None:
        user = reset_password(
            token=token, new_password=new_password, now=now, is_mailed=leaves_the_house(), source=source
        )
        key = f"{user.pk}:{now.isoformat()}"
        _write(user, _sender_for(user), "password_changed", key, "Your password was changed", {}, now)

    with system_context("resetting a password", source=source):
        retried(work)


def _sender_for(user: User) -> Actor | None:
    """The company in whose outbox the mail stands, or None for the installation's.

    Where a server delivers, links are the installation's: they prove the address, and no company carries them. In the
    sandbox, people who belong to one company alone are under its admins, who may set their password anyway. Nobody in a company
    may read mails that open more than this company.
    """
    if leaves_the_house():
        return None
    companies = list(user.memberships.values_list("company_id", flat=True)[:2])
    return None if user.is_platform_staff or len(companies) != 1 else system_actor(companies[0])


def _write(
    user: User,
    actor: Actor | None,
    name: str,
    key: str,
    subject: str,
    facts: dict[str, object],
    now: datetime,
) -> None:
    text, html = render_mail(name, {"first_name": user.first_name, "email": user.email, **facts})
    mail = NewMail(
        kind=name,
        key=f"{name}:{key}",
        to=user.email,
        to_name=user.get_full_name(),
        subject=subject,
        text=text,
        html=html,
        is_confidential=name == "password_reset",
    )
    if actor is None:
        send_mail(actor=None, mail=mail, now=now)
        return
    with company_context(actor.company_id, actor=actor, source="task"):
        send_mail(actor=actor, mail=mail, now=now)
