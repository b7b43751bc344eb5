"""Which records an actor may read, update or delete: own, those of the people below, or all; plus what other apps share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.db.models import BooleanField, F, Q, QuerySet, Subquery
from django.db.models.expressions import Expression, RawSQL

from core.entities import Entity, entities
from core.kernel.registry import Registry
from core.tenancy.actors import Actor

# Apps that share records (territories, say) add a function of entity, actor and verb. It answers which further records the
# verb ("read", "update", "delete") is open for, or None. Whoever shares for writing shares for reading too; sharing for
# reading opens nothing else. Use `one_of` for subqueries, which indexes serve.
SHARING: Registry[Callable[[Entity, Actor, str], Q | None]] = Registry("record sharing")

# The people below a member, himself included. UNION (not ALL) ends at a circle.
_TEAM = """
WITH RECURSIVE team AS (
  SELECT m.id, m.user_id FROM core_membership m WHERE m.company_id = %s AND m.id = %s
  UNION
  SELECT m.id, m.user_id FROM core_membership m JOIN team ON m.manager_id = team.id WHERE m.company_id = %s
) SELECT user_id FROM team"""


def visible(entity: Entity, actor: Actor, verb: str = "read") -> Q:
    """The condition that a record is open to the actor for the verb.

    An entity with neither an owner nor a record it is visible through is open to all its company. No rights are checked: a
    role may lack the verb altogether.
    """
    if sees_everything(entity, actor, verb):
        return Q()
    conditions = _through(entity, actor, verb)
    if entity.owner is not None:
        conditions.append(_owned(entity.owner.column, actor))
    conditions += [shared for share in SHARING if (shared := share(entity, actor, verb)) is not None]
    found = conditions[0]
    for condition in conditions[1:]:
        found |= condition
    return found


def sees_everything(entity: Entity, actor: Actor, verb: str = "read") -> bool:
    """Whether every record of the company is open to the actor for the verb."""
    return actor.rights.record_scope == "all" or (entity.owner is None and not entity.visible_through)


def one_of(column: str, values: RawSQL | QuerySet[Any]) -> Q:
    """The condition that a column holds one of the values of a subquery, which is read once and before the records.

    `IN` with a subquery would be compared row by row as soon as another condition stands beside it with OR; this way each of
    them has its index.
    """
    return Q(_OneOf(column, values))


class _OneOf(Expression):
    """`column = ANY (ARRAY(subquery))`."""

    conditional = True

    def __init__(self, column: str, values: Any) -> None:
        super().__init__(output_field=BooleanField())
        self.column: Any = F(column)
        self.values: Any = Subquery(values) if isinstance(values, QuerySet) else values

    def get_source_expressions(self) -> list[Any]:
        return [self.column, self.values]

    def set_source_expressions(self, exprs: Sequence[Any]) -> None:
        self.column, self.values = exprs

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        column, params = compiler.compile(self.column)
        values, of_values = compiler.compile(self.values)
        return f"{column} = ANY (ARRAY{values})", (*params, *of_values)


def _owned(column: str, actor: Actor) -> Q:
    if actor.rights.record_scope == "team" and actor.membership_id is not None:
        return one_of(column, RawSQL(_TEAM, [actor.company_id, actor.membership_id, actor.company_id]))
    return Q(**{column: actor.user_id})


def _through(entity: Entity, actor: Actor, verb: str) -> list[Q]:
    """Visible with its parents; changed, in whatever way, by those who may update a parent."""
    conditions = []
    for name in entity.visible_through:
        parent = entities[entity.fields[name].to]
        condition = visible(parent, actor, "read" if verb == "read" else "update")
        records = parent.model._default_manager.filter(condition)
        if parent.is_soft_deleted:
            records = records.filter(deleted_at__isnull=True)
        conditions.append(Q(**{f"{entity.fields[name].column}__in": records.values("pk")}))
    return conditions
