"""What reports plug into registries: who else may read them."""

from __future__ import annotations

from django.db.models import Q

from analytics.reports.models import Visibility
from core.access.visibility import SHARING
from core.entities import Entity
from core.tenancy.actors import Actor


def _shared(entity: Entity, actor: Actor, verb: str) -> Q | None:
    """Reports of the whole company, and those shared with the actor or their role, are open for reading."""
    if entity.name != "report" or verb != "read":
        return None
    keys = [str(key) for key in (actor.user_id, actor.rights.role_id) if key is not None]
    found = Q(visibility=Visibility.COMPANY)
    for key in keys:
        found |= Q(visibility=Visibility.SHARED, shared_with__contains=[key])
    return found


SHARING.register("reports", _shared)
