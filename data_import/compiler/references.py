"""Records found by what people call them: a name, an e-mail address, a code, an external id, or the id itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.access import EntityView, view
from core.entities import Field, entities
from core.entities.computed import with_computed
from core.kernel.errors import Invalid
from core.tenancy.actors import Actor
from data_import.engine.transforms import sql


@dataclass(frozen=True)
class Keys:
    """`sql` selects `id` and `key` (text), a row for each key of each record that the actor sees."""

    sql: str
    params: tuple[Any, ...]
    names: tuple[str, ...]


def key_fields(seen: EntityView) -> tuple[Field, ...]:
    """The fields of an entity by which a file may name its records."""
    return tuple(field for field in seen.askable.values() if field.key)


def keys_of(entity: str, actor: Actor, names: tuple[str, ...] = ()) -> Keys:
    """Every key of the records of an entity that the actor sees; `names` narrows the fields, `id` is one of them.

    Raises: Invalid when the actor may not read them.
    """
    seen = view(entities[entity], actor)
    if not seen.can("read"):
        raise Invalid(f"Your role may not read {seen.entity.noun_plural}.", code="forbidden")
    fields = [field for field in key_fields(seen) if not names or field.name in names]
    fields += [seen.field(name) for name in names if name not in {field.name for field in fields}]
    if not names:
        fields.append(seen.field("id"))
    parts: list[str] = []
    params: list[Any] = []
    for field in fields:
        records = with_computed(seen.records(), [field]).order_by()
        inner, values = records.values_list("pk", field.attribute).query.sql_with_params()
        parts.append(
            f"SELECT k.id, k.key FROM ({inner}) q(id, given), LATERAL (SELECT q.id, q.given::text AS key) k "
            "WHERE k.key <> ''"
        )
        params += values
    return Keys(" UNION ALL ".join(parts), tuple(params), tuple(field.name for field in fields))


def resolution(keys: str, wanted: str) -> str:
    """SQL: for each text `v` of `wanted`, `id` of the one record it names, or null where it names several.

    Case does not count, unless records differ in nothing else. What names no record has no row.
    """
    return f"""SELECT w.v, CASE WHEN count(DISTINCT t.id) = 1 THEN min(t.id::text)
    WHEN count(DISTINCT t.id) FILTER (WHERE t.key = w.v) = 1 THEN min(t.id::text) FILTER (WHERE t.key = w.v) END AS id
  FROM ({wanted}) w JOIN ({keys}) t ON {sql.lowered("t.key")} = {sql.lowered("w.v")} GROUP BY w.v"""
