"""Which records people see and write because of the territories they work in."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Q
from django.db.models.expressions import RawSQL

from core.access.visibility import SHARING, one_of
from core.entities import Entity
from core.tenancy.actors import Actor
from territories.queries import scoped_entities

# A territory or a membership in which today lies.
_ACTIVE = (
    "{0}.is_active AND coalesce({0}.effective_from, '-infinity') <= current_date "
    "AND coalesce({0}.effective_to, 'infinity') >= current_date"
)
_MEMBER = (
    "m.company_id = %(company)s AND m.user_id = %(user)s "
    "AND coalesce(m.effective_from, '-infinity') <= current_date AND coalesce(m.effective_to, 'infinity') >= current_date"
)
_TABLE = "territories_territory"

# The territories in which the person works, as a member of one of the roles or as the manager.
_MINE = f"""
  SELECT t.id, t.parent_territory_id, t.hierarchy_path FROM {_TABLE} t
  JOIN territories_territorymember m ON m.company_id = t.company_id AND m.territory_id = t.id
  WHERE {_MEMBER} AND m.role = ANY(%(roles)s) AND {_ACTIVE.format("t")}
  UNION
  SELECT t.id, t.parent_territory_id, t.hierarchy_path FROM {_TABLE} t
  WHERE t.company_id = %(company)s AND t.manager_id = %(user)s AND {_ACTIVE.format("t")}"""

_WRITTEN = f"(SELECT id FROM ({_MINE}) mine)"

# What other territories share with those: with their parent, with those right below, with all below.
_READ = f"""(WITH mine AS MATERIALIZED ({_MINE})
  SELECT id FROM mine
  UNION SELECT t.id FROM {_TABLE} t JOIN mine ON t.parent_territory_id = mine.id
  WHERE t.company_id = %(company)s AND t.share_with_parent AND {_ACTIVE.format("t")}
  UNION SELECT t.id FROM {_TABLE} t JOIN mine ON t.id = mine.parent_territory_id
  WHERE t.company_id = %(company)s AND t.share_with_children AND {_ACTIVE.format("t")}
  UNION SELECT t.id FROM mine
  CROSS JOIN LATERAL unnest(string_to_array(btrim(mine.hierarchy_path, '/'), '/')) WITH ORDINALITY AS word(word, place)
  JOIN {_TABLE} t ON t.company_id = %(company)s AND t.hierarchy_path =
    '/' || array_to_string((string_to_array(btrim(mine.hierarchy_path, '/'), '/'))[:word.place], '/') || '/'
  WHERE t.id <> mine.id AND t.recursive_sharing AND {_ACTIVE.format("t")})"""

# For roles whose scope is the territory: all below belongs to it, whatever it shares.
_BELOW = f"""(SELECT t.id FROM {_TABLE} t JOIN ({_MINE}) mine
  ON t.hierarchy_path LIKE mine.hierarchy_path || '%%' WHERE t.company_id = %(company)s)"""

_READERS = ["owner", "member", "viewer"]
_WRITERS = ["owner", "member"]


def share_territories(entity: Entity, actor: Actor, verb: str) -> Q | None:
    """The records of the territories that are open to the actor for the verb.

    Members and the manager see a territory's records, and those that flags share with it; viewers write none, and what is
    shared by a flag is shared for reading. With the scope `territory` all below is as one's own.
    """
    if actor.user_id is None or not _has_territory(entity.name):
        return None
    is_read = verb == "read"
    roles = _READERS if is_read else _WRITERS
    found = _territories(_READ if is_read else _WRITTEN, actor.company_id, actor.user_id, roles)
    if actor.rights.record_scope == "territory":
        found |= _territories(_BELOW, actor.company_id, actor.user_id, roles)
    return found


def _territories(sql: str, company_id: UUID, user_id: UUID, roles: list[str]) -> Q:
    names = ("company", "user", "roles")
    values = dict(zip(names, (company_id, user_id, roles), strict=True))
    # Positional parameters, in the order in which they stand.
    params = []
    for part in sql.split("%(")[1:]:
        params.append(values[part.partition(")s")[0]])
    for name in names:
        sql = sql.replace(f"%({name})s", "%s")
    return one_of("territory_id", RawSQL(sql, params))


def _has_territory(name: str) -> bool:
    return any(entity.name == name for entity in scoped_entities())


SHARING.register("territories", share_territories)
