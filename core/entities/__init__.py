"""The registry of entities: facts about the data, from which every feature derives its powers.

Words: an *entity* is a kind of record with an API; a *field* is one named value of it; a *fact* is something true of a
field (its kind, that it is personal data, that people search it), never which feature may use it; a *meaning* marks the
field that plays a known part (`owner`, `amount`, `stage`).
"""

from core.entities.actions import ACTIONS, Action, actions_of, argument, register_action
from core.entities.registry import (
    BASE_FACTS,
    CUSTOM_FIELDS,
    RECORD_FACTS,
    RECORD_INTERNAL,
    Entity,
    Field,
    Nested,
    Writes,
    entities,
    fact,
    get_entity,
    register,
)

__all__ = [
    "ACTIONS",
    "BASE_FACTS",
    "CUSTOM_FIELDS",
    "RECORD_FACTS",
    "RECORD_INTERNAL",
    "Action",
    "Entity",
    "Field",
    "Nested",
    "Writes",
    "actions_of",
    "argument",
    "entities",
    "fact",
    "get_entity",
    "register",
    "register_action",
]
