"""What a person changes about themselves."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.db.models import F

from core.changes.facts import record_fact
from core.identity.models import Membership, User
from core.identity.operations.members import MAX_NAME
from core.kernel.errors import Fault, Invalid, NotFound
from core.kernel.transactions import needs_transaction
from core.tenancy.actors import Actor


def update_own_profile(actor: Actor, *, changes: Mapping[str, str], now: datetime) -> None:
    """A person changes their own names. Needs a transaction. Raises: Invalid, NotFound."""
    needs_transaction()
    faults = [
        Fault(name, "unknown_field", "There is no such field.")
        if name not in ("first_name", "last_name")
        else Fault(name, "too_long", f"At most {MAX_NAME} characters are allowed.")
        for name, value in changes.items()
        if name not in ("first_name", "last_name") or len(value) > MAX_NAME
    ]
    if faults:
        raise Invalid(faults=faults)
    if not changes:
        return
    if actor.user_id is None:
        raise NotFound()
    user = User.objects.get(pk=actor.user_id)
    old = {name: getattr(user, name) for name in changes}
    User.objects.filter(pk=user.pk).update(**changes)
    Membership.objects.filter(user_id=user.pk).update(
        version=F("version") + 1, updated_at=now, updated_by=actor.user_id
    )
    record_fact(
        action="update", entity_type="user", entity_id=user.pk, details={"old": old, "new": dict(changes)}
    )
