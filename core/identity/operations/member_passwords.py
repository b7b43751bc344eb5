"""A member's password, set by who manages users."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from core.changes.facts import record_fact
from core.identity.models import Membership, User
from core.identity.operations.guards import begin_change_of_rights
from core.identity.operations.members import people_elsewhere
from core.identity.operations.passwords import hash_new_password
from core.identity.operations.sessions import end_sessions_of_members
from core.identity.rights import is_within
from core.kernel.errors import Forbidden, NotFound
from core.tenancy.actors import Actor
from core.tenancy.context import current, system_context


def set_member_password(actor: Actor, *, user_id: UUID, password: str, now: datetime) -> None:
    """Give a member a password and end their sessions. Needs a transaction.

    Only for people who belong to this company alone: anybody else's password opens more than this company. Before the
    person joins another one they choose a password of their own.
    Raises: NotFound, Forbidden, Invalid with each password rule that is broken.
    """
    begin_change_of_rights(actor)
    member: Membership | None = (
        Membership.objects.select_related("role", "user").filter(user_id=user_id).first()
    )
    if member is None:
        raise NotFound()
    with system_context("setting a member's password", source=current().source):
        # Whoever accepts another company's invitation takes turns with this.
        User.objects.select_for_update(no_key=True).get(pk=user_id)
    if people_elsewhere(actor, [user_id]):
        raise Forbidden("Only the person themselves can change this.", code="belongs_elsewhere")
    if not is_within(actor.rights, member.role.permissions, member.role.record_scope):
        raise Forbidden("This is more than your own role allows.", code="beyond_own_rights")
    hashed = hash_new_password(password, member.user)
    with system_context("setting a member's password", source=current().source):
        User.objects.filter(pk=user_id).update(password=hashed, proven_at=None)
        end_sessions_of_members(actor, [user_id], now, "password_set")
    record_fact(action="password_set", entity_type="user", entity_id=user_id, is_sensitive=True)
