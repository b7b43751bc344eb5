"""What the registry knows of equipment."""

from __future__ import annotations

from core.entities import RECORD_FACTS, RECORD_INTERNAL, Entity, Nested, Writes, fact, register
from core.entities.kinds import Kind
from tests.seams.operations import EQUIPMENT

register(
    Entity(
        name="equipment",
        plural="equipment",
        model_label="seams.Equipment",
        description="Things that the company owns.",
        nested=(Nested("part_of", "parts"),),
        facts=(
            fact("name", meaning="name", search="A"),
            fact("serial_number", key=True, search="B"),
            fact("region"),
            fact("condition"),
            fact("price", kind=Kind.MONEY),
            fact("keeper_email", pii=True),
            fact("part_of"),
            *RECORD_FACTS,
        ),
        internal=RECORD_INTERNAL,
        writes=Writes(
            EQUIPMENT.create, EQUIPMENT.update, EQUIPMENT.delete, EQUIPMENT.restore, judge=EQUIPMENT.judge
        ),
    )
)
