"""What the outbox and a person's notifications hold."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from core.delivery.kinds import NOTIFICATION_KINDS, NotificationKind
from core.delivery.models import EmailFile, Notification, NotificationPreference, OutgoingEmail
from core.identity.rights import EVERYTHING, MANAGE_USERS
from core.kernel.errors import Forbidden, NotFound
from core.tenancy.actors import Actor
from core.tenancy.context import system_context


def notifications_of(actor: Actor) -> QuerySet[Notification]:
    """The actor's own in this company, the newest first: ids are ordered by time."""
    found: QuerySet[Notification] = Notification.objects.filter(recipient_id=actor.user_id).order_by("-pk")
    return found


def count_unread(actor: Actor) -> int:
    return int(Notification.objects.filter(recipient_id=actor.user_id, read_at=None).count())


@dataclass(frozen=True)
class Preference:
    """What a person hears of a kind by now; `is_default` when they have not chosen."""

    kind: NotificationKind
    channels: tuple[str, ...]
    is_default: bool


def list_preferences(actor: Actor) -> list[Preference]:
    """One for each kind there is."""
    rows = NotificationPreference.objects.filter(person_id=actor.user_id).values_list("kind", "channels")
    chosen = {kind: tuple(channels) for kind, channels in rows}
    return [
        Preference(kind, chosen.get(kind.name, kind.channels), kind.name not in chosen)
        for kind in NOTIFICATION_KINDS
    ]


# --- the outbox as people see it -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class EmailPage:
    emails: Sequence[OutgoingEmail]
    has_more: bool


def may_see_emails(actor: Actor) -> bool:
    return actor.rights.can(MANAGE_USERS)


def may_read_confidential(actor: Actor) -> bool:
    """Whoever could set a member's password may also read the link that sets it, and nobody else."""
    return EVERYTHING in actor.rights.permissions


def list_emails(
    actor: Actor, *, sees_installation: bool, state: str = "", before: UUID | None = None, limit: int = 50
) -> EmailPage:
    """Mails of the company, and with `sees_installation` those of the installation, the newest first, without bodies.

    Raises: Forbidden.
    """
    with _reach(actor, sees_installation):
        rows = _visible(actor, sees_installation).defer("text", "html").order_by("-pk")
        if state:
            rows = rows.filter(state=state)
        if before is not None:
            rows = rows.filter(pk__lt=before)
        found = list(rows[: limit + 1])
    return EmailPage(found[:limit], len(found) > limit)


def get_email(actor: Actor, email_id: UUID, *, sees_installation: bool) -> OutgoingEmail:
    """Raises: NotFound, Forbidden."""
    with _reach(actor, sees_installation):
        found: OutgoingEmail | None = _visible(actor, sees_installation).filter(pk=email_id).first()
    if found is None:
        raise NotFound()
    return found


def contents_of(email: OutgoingEmail) -> dict[str, bytes]:
    """The bytes of the mail's files, by the id that its attachments name."""
    ids = [item["file"] for item in email.attachments]
    with system_context("reading the files of a mail", source="admin"):
        rows: Any = EmailFile.objects.filter(pk__in=ids, company_id=email.company_id)
        return {str(key): bytes(content) for key, content in rows.values_list("pk", "content")}


def _reach(actor: Actor, sees_installation: bool) -> Any:
    if not may_see_emails(actor) and not sees_installation:
        raise Forbidden("Only who may manage users sees sent emails.")
    return system_context("staff reads the outbox", source="admin") if sees_installation else nullcontext()


def _visible(actor: Actor, sees_installation: bool) -> QuerySet[OutgoingEmail]:
    of_company = Q(company_id=actor.company_id) if may_see_emails(actor) else Q()
    if not sees_installation:
        rows: QuerySet[OutgoingEmail] = OutgoingEmail.objects.filter(of_company)
        return rows
    of_installation = Q(company_id=None)
    both = of_company | of_installation if may_see_emails(actor) else of_installation
    found: QuerySet[OutgoingEmail] = OutgoingEmail.objects.filter(both)
    return found
