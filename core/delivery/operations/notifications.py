"""Writing notifications, reading them, and choosing channels."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import connection

from core.delivery.kinds import CHANNELS, EMAIL, IN_APP, NOTIFICATION_KINDS
from core.delivery.models import Notification, NotificationPreference
from core.delivery.operations.outbox import NewMail, send_many
from core.delivery.system_mails import render_mail
from core.kernel.errors import Fault, Forbidden, Invalid, NotFound
from core.kernel.ids import uuid7
from core.kernel.transactions import needs_transaction
from core.tenancy.actors import Actor

MAX_TITLE = 200

_RECIPIENTS = """
SELECT u.id, u.email, u.first_name, u.last_name, p.channels
FROM core_membership m
JOIN core_user u ON u.id = m.user_id AND u.is_active
LEFT JOIN core_notificationpreference p ON p.company_id = m.company_id AND p.person_id = m.user_id AND p.kind = %(kind)s
WHERE m.company_id = %(company)s AND m.is_active AND m.user_id = ANY(%(people)s)
ORDER BY u.id"""


def notify(
    *,
    actor: Actor,
    kind: str,
    key: str,
    recipients: Collection[UUID],
    title: str,
    now: datetime,
    body: str = "",
    entity_type: str = "",
    entity_id: UUID | None = None,
) -> int:
    """Tell members of the actor's company, each by the channels they chose for this kind. Needs a transaction.

    `key` names the event: the same key reaches the same person once. People who are no active members are passed over.
    `entity_type` and `entity_id` name the record it is about. Returns how many people are told now.
    Raises: KeyError for an unknown kind.
    """
    needs_transaction()
    defaults = NOTIFICATION_KINDS[kind].channels
    title = " ".join(title.split())[:MAX_TITLE]
    with connection.cursor() as cursor:
        cursor.execute(
            _RECIPIENTS, {"kind": kind, "company": actor.company_id, "people": list(set(recipients))}
        )
        people = [
            (person, email, f"{first} {last}".strip(), tuple(defaults if channels is None else channels))
            for person, email, first, last, channels in cursor.fetchall()
        ]
    shown = [person for person, _, _, channels in people if IN_APP in channels]
    notified = set(
        _insert(actor, kind, key, shown, title, body, entity_type, entity_id, now) if shown else ()
    )
    url = f"{settings.PUBLIC_URL}/admin/records/{entity_type}/{entity_id}/" if entity_id else ""
    text, html = render_mail("notification", {"title": title, "body": body, "url": url})
    mails = {
        person: NewMail(
            kind="notification",
            key=f"{kind}:{key}"[:200],
            to=email,
            to_name=name,
            subject=title,
            text=text,
            html=html,
            entity_type=entity_type,
            entity_id=entity_id,
        )
        for person, email, name, channels in people
        if EMAIL in channels
    }
    send_many(actor=actor, mails=list(mails.values()), now=now)
    return len(notified | set(mails))


def _insert(
    actor: Actor,
    kind: str,
    key: str,
    people: Sequence[UUID],
    title: str,
    body: str,
    entity_type: str,
    entity_id: UUID | None,
    now: datetime,
) -> list[UUID]:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO core_notification (id, company_id, created_at, created_by_id, recipient_id, kind, key, title, body, "
            "entity_type, entity_id) SELECT x.id, %s, %s, %s, x.person, %s, %s, %s, %s, %s, %s "
            "FROM unnest(%s::uuid[], %s::uuid[]) AS x(id, person) "
            "ON CONFLICT (company_id, key, recipient_id) DO NOTHING RETURNING recipient_id",
            [
                actor.company_id,
                now,
                actor.user_id,
                kind,
                key,
                title,
                body,
                entity_type,
                entity_id,
                [uuid7() for _ in people],
                list(people),
            ],
        )
        return [person for (person,) in cursor.fetchall()]


def mark_read(*, actor: Actor, notification_id: UUID, now: datetime) -> Notification:
    """Note that the actor has read one of their notifications; the first time counts. Needs a transaction.

    Raises: NotFound.
    """
    needs_transaction()
    mine = Notification.objects.filter(pk=notification_id, recipient_id=actor.user_id)
    mine.filter(read_at=None).update(read_at=now)
    found: Notification | None = mine.first()
    if found is None:
        raise NotFound()
    return found


def mark_all_read(*, actor: Actor, now: datetime) -> int:
    """Note that the actor has read all their notifications; how many were unread. Needs a transaction."""
    needs_transaction()
    unread = Notification.objects.filter(recipient_id=actor.user_id, read_at=None, created_at__lte=now)
    return int(unread.update(read_at=now))


def set_preferences(*, actor: Actor, channels: Mapping[str, Sequence[str]]) -> None:
    """The channels the actor wants for each kind; a kind that is left out goes back to its defaults. Needs a transaction.

    Raises: Invalid (`unknown_field`, `not_a_choice`), Forbidden for who is no member.
    """
    needs_transaction()
    if actor.user_id is None or actor.membership_id is None:
        raise Forbidden("Only members of the company have notifications.", code="not_a_member")
    faults = [
        Fault(kind, "unknown_field", "There is no such kind of notification.")
        for kind in channels
        if kind not in NOTIFICATION_KINDS
    ]
    faults += [
        Fault(f"{kind}.{place}", "not_a_choice", f"Choose among: {', '.join(CHANNELS)}.")
        for kind, wanted in channels.items()
        for place, channel in enumerate(wanted)
        if channel not in CHANNELS
    ]
    if faults:
        raise Invalid(faults=faults)
    NotificationPreference.objects.filter(person_id=actor.user_id).exclude(kind__in=channels).delete()
    NotificationPreference.objects.bulk_create(
        [
            NotificationPreference(
                company_id=actor.company_id,
                person_id=actor.user_id,
                kind=kind,
                channels=[channel for channel in CHANNELS if channel in wanted],
            )
            for kind, wanted in channels.items()
        ],
        update_conflicts=True,
        unique_fields=["company", "person", "kind"],
        update_fields=["channels"],
    )
