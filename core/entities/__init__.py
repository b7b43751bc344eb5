"""The registry of entities: facts about the data, from which every feature derives its powers.

Words: an *entity* is a kind of record with an API; a *field* is one named value of it; a *fact* is something true of a
field (its kind, that it is personal data, that people search it), never which feature may use it; a *meaning* marks the
field that plays a known part (`owner`, `amount`, `stage`).
"""

from core.entities.registry import (
    BASE_FACTS,
    RECORD_FACTS,
    RECORD_INTERNAL,
    Entity,
    Field,
    Writes,
    entities,
    fact,
    get_entity,
    register,
)

__all__ = [
    "BASE_FACTS",
    "RECORD_FACTS",
    "RECORD_INTERNAL",
    "Entity",
    "Field",
    "Writes",
    "entities",
    "fact",
    "get_entity",
    "register",
]
