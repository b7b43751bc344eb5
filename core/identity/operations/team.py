"""A company's roles, members and invitations, as rules about them need to know them."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from core.identity.models import Invitation, Membership, Role
from core.identity.rights import EVERYTHING, is_within
from core.tenancy.actors import Actor


@dataclass(slots=True)
class Member:
    """A member as of now, and as it will be after the rows before."""

    membership_id: UUID
    user_id: UUID
    role_id: UUID
    manager_id: UUID | None
    is_active: bool


class Team:
    """The company's roles and members while its rights are locked."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        self.roles: dict[UUID, Role] = {role.pk: role for role in Role.objects.all()}
        # Whether the person's account lives is beyond the company's power.
        self.members = {
            row.user_id: Member(row.pk, row.user_id, row.role_id, row.manager_id, row.is_active)
            for row in Membership.objects.select_related("user")
        }
        self.emails = set(Membership.objects.values_list("user__email", flat=True))
        self.invitations: dict[UUID, Invitation] = {
            row.pk: row for row in Invitation.objects.filter(state=Invitation.State.PENDING)
        }
        self.invited_emails = {row.email for row in self.invitations.values()}
        self.user_by_membership = {item.membership_id: item.user_id for item in self.members.values()}
        self._living = set(Membership.objects.filter(user__is_active=True).values_list("user_id", flat=True))

    def may_give(self, role_id: UUID) -> bool:
        role = self.roles[role_id]
        return is_within(self.actor.rights, role.permissions, role.record_scope)

    def is_admin(self, member: Member) -> bool:
        return (
            member.is_active
            and member.user_id in self._living
            and EVERYTHING in self.roles[member.role_id].permissions
        )

    def has_admin_besides(self, user_id: UUID) -> bool:
        return any(self.is_admin(item) for item in self.members.values() if item.user_id != user_id)

    def is_below(self, manager_id: UUID, user_id: UUID) -> bool:
        """Whether the manager reports, over however many steps, to the person."""
        seen: set[UUID] = set()
        at: UUID | None = manager_id
        while at is not None and at not in seen:
            if at == user_id:
                return True
            seen.add(at)
            above = self.members[at].manager_id
            at = self.user_by_membership.get(above) if above else None
        return False
