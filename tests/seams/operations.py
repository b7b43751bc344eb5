"""Writes of equipment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from core.changes import Rows
from core.changes.rules import no_cycle
from core.kernel.errors import Conflict, NotFound
from core.tenancy.actors import Actor
from crm.operations.records import RecordOperations, record_spec
from tests.seams.models import Equipment

EQUIPMENT = RecordOperations(
    record_spec(
        Equipment,
        rules=(
            no_cycle(
                "seams_equipment", "part_of_id", "part_of", "A piece of equipment cannot be part of itself."
            ),
        ),
    ),
    upward="part_of_id",
)


@dataclass(frozen=True, slots=True)
class Inspection:
    """What an inspection found."""

    equipment_id: UUID
    is_working: bool
    replacement_id: UUID | None = None


def inspect_equipment(
    *,
    actor: Actor,
    equipment_id: UUID,
    condition: str,
    now: datetime,
    replacement_id: UUID | None = None,
    expected_version: int | None = None,
    dry_run: bool = False,
) -> Inspection:
    """Note whether it works. Needs a transaction; locks the piece.

    Raises: NotFound, Stale, Conflict (`already_broken`).
    """
    piece = Equipment.objects.select_for_update().filter(pk=equipment_id, deleted_at__isnull=True).first()
    if piece is None:
        raise NotFound()
    if piece.condition == Equipment.Condition.BROKEN:
        raise Conflict("It is broken already.", code="already_broken")
    if not dry_run:
        row = {"id": equipment_id, "condition": condition, "expected_version": expected_version}
        EQUIPMENT.update(actor=actor, rows=Rows.of(Equipment, [row]), now=now).raise_if_refused()
    return Inspection(equipment_id, condition == Equipment.Condition.WORKING, replacement_id)
