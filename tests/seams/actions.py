"""What can be done with equipment beyond changing its fields."""

from __future__ import annotations

from functools import partial

from core.entities import Action, argument, register_action
from core.entities.kinds import Kind
from tests.seams.models import Equipment
from tests.seams.operations import inspect_equipment

INSPECT = register_action(
    Action(
        entity="equipment",
        name="inspect",
        run=inspect_equipment,
        dry_run=partial(inspect_equipment, dry_run=True),
        label="Inspect",
        description="Say whether it works. What is broken already is refused.",
        input=(
            argument(
                "condition",
                Kind.CHOICE,
                required=True,
                choices=tuple((str(value), str(label)) for value, label in Equipment.Condition.choices),
            ),
            argument("replacement", Kind.RELATION, to="equipment", description="What takes its place."),
        ),
        output=(
            argument("equipment", Kind.RELATION, to="equipment"),
            argument("is_working", Kind.BOOLEAN),
            argument("replacement", Kind.RELATION, to="equipment", nullable=True),
        ),
        is_offered=lambda equipment: equipment.condition == Equipment.Condition.WORKING,
    )
)
