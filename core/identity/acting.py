"""May this actor act for that person? Asked wherever work runs with somebody else's rights.

Rotating another person's API key asks it; so must whoever sets the owner of a schedule, whom a workflow runs as, and whom
an admin impersonates.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db import connection

from core.identity.models import Membership
from core.identity.rights import covers, narrowed
from core.kernel.errors import Forbidden
from core.tenancy.actors import Actor

_IS_BELOW = """
WITH RECURSIVE team AS (
  SELECT m.id, m.user_id FROM core_membership m WHERE m.company_id = %(company)s AND m.id = %(boss)s
  UNION
  SELECT m.id, m.user_id FROM core_membership m JOIN team ON m.manager_id = team.id WHERE m.company_id = %(company)s
)
SELECT EXISTS (SELECT FROM team WHERE user_id = %(user)s)"""


def may_act_as(actor: Actor, user_id: UUID, *, permissions: Iterable[str] | None = None) -> bool:
    """Whether acting as this person gives the actor nothing: neither a permission nor sight of a record that is not theirs.

    In one's own name only a narrowed API key has less than the person. `permissions` narrow what will be done in the
    person's name (the scopes of a key); without them it is all that their role allows. Needs a transaction, in the actor's
    company.
    """
    is_own = actor.user_id == user_id
    if is_own and actor.api_key_id is None:
        return True
    member = Membership.objects.select_related("role").filter(user_id=user_id, is_active=True).first()
    if member is None:
        return False
    held = frozenset(member.role.permissions)
    used = held if permissions is None else narrowed(held, permissions)
    if not all(covers(actor.rights.permissions, word) for word in used):
        return False
    if is_own:
        return True
    match actor.rights.record_scope:
        case "all":
            return True
        case "team":
            # What people below see as their own or their team's, the actor sees too.
            return member.role.record_scope in ("own", "team") and _is_below(actor, user_id)
        case _:
            # Somebody else's own records are not the actor's.
            return False


def require_may_act_as(actor: Actor, user_id: UUID, *, permissions: Iterable[str] | None = None) -> None:
    """As `may_act_as`. Raises: Forbidden (`beyond_own_rights`)."""
    if not may_act_as(actor, user_id, permissions=permissions):
        raise Forbidden("Acting for this person is more than your own role allows.", code="beyond_own_rights")


def _is_below(actor: Actor, user_id: UUID) -> bool:
    if actor.membership_id is None:
        return False
    params = {"company": actor.company_id, "boss": actor.membership_id, "user": user_id}
    with connection.cursor() as cursor:
        cursor.execute(_IS_BELOW, params)
        return bool(cursor.fetchone()[0])
