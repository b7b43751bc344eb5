"""People join a company by consent: an invitation to an address, accepted by whoever proves that it is theirs.

Adding people is in `members.create_users`, which writes the invitations.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import F

from core.changes import Rows, WriteSpec, insert, update
from core.changes.facts import record_fact
from core.identity.models import Company, Invitation, Membership, User
from core.identity.operations.guards import begin_change_of_rights
from core.identity.operations.proof import (
    INVITATION_LIFETIME,
    Link,
    chooses_password,
    claim_account,
    digest_of,
    find_account,
    link_ended,
    prove,
    send_links,
)
from core.identity.rights import MANAGE_USERS, is_within
from core.kernel.errors import NotFound, TooManyRequests
from core.kernel.transactions import needs_transaction, retried, unit_of_work
from core.tenancy.actors import Actor, Rights
from core.tenancy.context import actor_context, system_context

INVITATIONS = WriteSpec(Invitation)
_MEMBERS = WriteSpec(Membership)
# An invitation is mailed again after this time at the earliest.
RESEND_AFTER = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class OpenInvitation:
    """An invitation as the reader of its link sees it."""

    email: str
    company: Company
    role_name: str
    # Empty when the installation invites.
    invited_by: str
    expires_at: datetime
    first_name: str
    last_name: str
    # Whether they choose a password; else they sign in with the one they have.
    chooses_password: bool


@dataclass(frozen=True, slots=True)
class Joined:
    """Who has joined which company."""

    user: User
    company: Company


def resend_invitation(actor: Actor, *, invitation_id: UUID, now: datetime) -> None:
    """Mail a new link, which lasts as long as the first did; the old one ends. Needs a transaction.

    Raises: Forbidden, NotFound, TooManyRequests when the last one was sent just now.
    """
    begin_change_of_rights(actor)
    found = Invitation.objects.filter(pk=invitation_id, state=Invitation.State.PENDING).first()
    if found is None:
        raise NotFound()
    if found.sent_at is not None and now < found.sent_at + RESEND_AFTER:
        raise TooManyRequests(
            "This invitation was sent just now.",
            code="throttled",
            retry_after=max(1, round((found.sent_at + RESEND_AFTER - now).total_seconds())),
        )
    renewed = {"id": found.pk, "expires_at": now + INVITATION_LIFETIME}
    update(INVITATIONS, Rows.of(Invitation, [renewed]), actor=actor, now=now).raise_if_refused()
    send_links("invitation", [found.pk], now)


def _open(token: str, now: datetime, *, lock: bool = False) -> Invitation | None:
    """The invitation of a token, if it still holds. Expects a system context and an open transaction."""
    found = Invitation.objects.filter(token_digest=digest_of(token))
    if lock:
        found = found.select_for_update(no_key=True, of=("self",))
    row: Invitation | None = found.select_related("company", "role").first()
    if (
        row is None
        or row.state != Invitation.State.PENDING
        or row.expires_at <= now
        or not row.company.is_active
        or not _may_still_be_given(row)
    ):
        return None
    return row


def _may_still_be_given(row: Invitation) -> bool:
    """Whether who invited could do so today: invitations of somebody who was dismissed end with them."""
    if row.created_by_id is None:
        return True
    giver = (
        Membership.objects.select_related("role")
        .filter(company_id=row.company_id, user_id=row.created_by_id, is_active=True, user__is_active=True)
        .first()
    )
    if giver is None:
        return False
    rights = Rights(frozenset(giver.role.permissions), giver.role.record_scope)
    return rights.can(MANAGE_USERS) and is_within(rights, row.role.permissions, row.role.record_scope)


def find_invitation(*, token: str, now: datetime, source: str = "api") -> OpenInvitation:
    """What the link is for. Raises: Invalid (`token_invalid`)."""
    with system_context("reading an invitation", source=source), unit_of_work():
        row = _open(token, now)
        account = find_account(row.email) if row else None
        inviter = User.objects.filter(pk=row.created_by_id).first() if row and row.created_by_id else None
    if row is None or (account is not None and not account.is_active):
        raise link_ended()
    return OpenInvitation(
        row.email,
        row.company,
        row.role.name,
        str(inviter or ""),
        row.expires_at,
        row.first_name,
        row.last_name,
        chooses_password(account, is_mailed=row.is_mailed),
    )


def accept_invitation(
    *,
    token: str,
    now: datetime,
    password: str = "",
    first_name: str = "",
    last_name: str = "",
    signed_in_id: UUID | None = None,
    source: str = "api",
) -> Joined:
    """Join the company that the link invites to. Commits by itself.

    A new person, or one whose password somebody else may know, chooses `password` and is known by it from now on; everybody
    else gives their present one, unless `signed_in_id` is theirs. Names are those of a new person.
    Raises: Invalid (`token_invalid`, the password rules), NotSignedIn (`sign_in_needed`, `invalid_credentials`),
    TooManyRequests, Conflict.
    """
    with system_context("reading an invitation", source=source), unit_of_work():
        row = _open(token, now)
    if row is None:
        raise link_ended()
    link = Link(
        row.email, first_name or row.first_name, last_name or row.last_name, row.is_mailed, user_id=row.pk
    )
    proof = prove(link, password=password, signed_in_id=signed_in_id, now=now, source=source)

    def work() -> Joined:
        with system_context("accepting an invitation", source=source):
            # First the company, as every change of rights does.
            Company.objects.filter(pk=row.company_id).update(rights_version=F("rights_version") + 1)
            invitation = _open(token, now, lock=True)
            if invitation is None:
                raise link_ended()
            user = claim_account(proof, now=now)
        actor = Actor(invitation.company_id, user.pk, zone=invitation.company.timezone)
        with actor_context(actor, source=source):
            _join(actor, invitation, user, now)
        return Joined(user, invitation.company)

    return retried(work)


def _join(actor: Actor, invitation: Invitation, user: User, now: datetime) -> None:
    """The membership, in the company's context and as the person who joins."""
    place = {"role": invitation.role_id, "manager": invitation.manager_id, "is_active": True}
    former = Membership.objects.filter(user_id=user.pk).values_list("pk", flat=True).first()
    if former is None:
        written = insert(_MEMBERS, Rows.of(Membership, [{"user": user.pk, **place}]), actor=actor, now=now)
    else:
        written = update(_MEMBERS, Rows.of(Membership, [{"id": former, **place}]), actor=actor, now=now)
    written.raise_if_refused()
    accepted = {"id": invitation.pk, "state": Invitation.State.ACCEPTED.value}
    update(INVITATIONS, Rows.of(Invitation, [accepted]), actor=actor, now=now).raise_if_refused()
    record_fact(
        action="invitation_accepted",
        entity_type="user",
        entity_id=user.pk,
        entity_name=user.email,
        details={"invitation": invitation.pk},
        is_sensitive=True,
    )


def invite_admin(actor: Actor, *, email: str, role_id: UUID, now: datetime) -> UUID:
    """Invite the first admin of a company that is being founded. `actor` is the system's. Needs a transaction."""
    needs_transaction()
    row = {"email": email, "role": role_id, "expires_at": now + INVITATION_LIFETIME}
    made = insert(INVITATIONS, Rows.of(Invitation, [row]), actor=actor, now=now)
    send_links("invitation", [made.one], now)
    return made.one
