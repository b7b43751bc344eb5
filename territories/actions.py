"""What can be done with a territory beyond changing its fields."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from core.changes import Rows
from core.changes.rows import EXPECTED_VERSION
from core.entities import Action, argument, register_action
from core.entities.kinds import Kind
from core.tenancy.actors import Actor
from territories.models import Territory
from territories.operations import update_territories


def move_territory(
    *,
    actor: Actor,
    territory_id: UUID,
    now: datetime,
    expected_version: int | None,
    parent_territory_id: UUID | None = None,
) -> None:
    """Put a territory, with all below it, under another parent; without one it becomes a root. Needs a transaction."""
    row = {"id": territory_id, "parent_territory": parent_territory_id}
    if expected_version is not None:
        row[EXPECTED_VERSION] = expected_version  # type: ignore[assignment]
    update_territories(actor=actor, rows=Rows.of(Territory, [row]), now=now).raise_if_refused()


register_action(
    Action(
        entity="territory",
        name="move",
        run=move_territory,
        label="Move",
        description="Put the territory, with all below it, under another parent. Without one it becomes a root.",
        input=(
            argument("parent_territory", Kind.RELATION, to="territory", nullable=True, label="New parent"),
        ),
    )
)
