"""Which records an actor sees: own, those of the people below, or all; plus what other apps share."""

from __future__ import annotations

from collections.abc import Callable

from django.db.models import Q
from django.db.models.expressions import RawSQL

from core.entities import Entity, entities
from core.kernel.registry import Registry
from core.tenancy.actors import Actor

# Apps that share records (territories) add a function: entity, actor -> more records that are visible, or None.
SHARING: Registry[Callable[[Entity, Actor], Q | None]] = Registry("record sharing")

# The people below a member, himself included. UNION (not ALL) ends at a circle.
_TEAM = """
WITH RECURSIVE team AS (
  SELECT m.id, m.user_id FROM core_membership m WHERE m.company_id = %s AND m.id = %s
  UNION
  SELECT m.id, m.user_id FROM core_membership m JOIN team ON m.manager_id = team.id WHERE m.company_id = %s
) SELECT user_id FROM team"""


def visible(entity: Entity, actor: Actor) -> Q:
    """The condition that a record is visible to the actor. An entity without owner is visible to all its company."""
    if actor.rights.record_scope == "all":
        return Q()
    if entity.owner is None:
        return _through(entity, actor) if entity.visible_through else Q()
    seen = _owned(entity.owner.column, actor)
    if entity.visible_through:
        seen |= _through(entity, actor)
    for share in SHARING:
        shared = share(entity, actor)
        if shared is not None:
            seen |= shared
    return seen


def sees_everything(entity: Entity, actor: Actor) -> bool:
    """Whether no record of the company is hidden from the actor."""
    return actor.rights.record_scope == "all" or (entity.owner is None and not entity.visible_through)


def _owned(column: str, actor: Actor) -> Q:
    if actor.rights.record_scope == "team" and actor.membership_id is not None:
        team = RawSQL(_TEAM, [actor.company_id, actor.membership_id, actor.company_id])
        return Q(**{f"{column}__in": team})
    return Q(**{column: actor.user_id})


def _through(entity: Entity, actor: Actor) -> Q:
    seen = Q(pk__in=[])
    for name in entity.visible_through:
        parent = entities[entity.fields[name].to]
        condition = visible(parent, actor)
        records = parent.model._default_manager.filter(condition)
        if parent.is_soft_deleted:
            records = records.filter(deleted_at__isnull=True)
        seen |= Q(**{f"{entity.fields[name].column}__in": records.values("pk")})
    return seen
