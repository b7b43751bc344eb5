"""Writes of equipment."""

from __future__ import annotations

from crm.operations.records import RecordOperations, no_cycle, record_spec
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
