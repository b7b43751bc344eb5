"""Long work of equipment: an inspection counts what is broken, shows how far it is, can be canceled, and says what it found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.jobs import JobRun, Presented, job_handler
from core.kernel.transactions import unit_of_work
from tests.seams.models import Equipment

INSPECTION = "equipment.inspect"


def _present(outcome: Mapping[str, Any]) -> Presented:
    return Presented(f"{outcome['broken']} of {outcome['inspected']} are broken.", "equipment-inventory/")


@job_handler(
    INSPECTION,
    transactional=False,
    label="Inspection",
    description="Looks at every piece of equipment.",
    present=_present,
)
def inspect(run: JobRun) -> dict[str, int]:
    """Looks at each piece; stops at the next one when it is canceled."""
    with unit_of_work():
        conditions = list(Equipment.objects.order_by("pk").values_list("condition", flat=True))
    for number in range(1, len(conditions) + 1):
        run.progress(number, len(conditions), "inspecting")
    return {"inspected": len(conditions), "broken": conditions.count(Equipment.Condition.BROKEN)}
