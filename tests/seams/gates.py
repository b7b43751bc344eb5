"""A company's own rule for equipment: a condition in its settings, as a validation rule would keep it in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import F, Func, JSONField, Value

from core.access import view
from core.changes.gates import GATES, Gate, GateRule, Write, gates_changed
from core.changes.refusals import REFUSALS
from core.conditions import compile_condition, row_condition
from core.identity.models import Company
from core.kernel.errors import Locked
from core.tenancy.actors import Actor, system_actor

SETTING = "equipment_rule"


def _rules(write: Write) -> Sequence[GateRule]:
    rule = Company.objects.values_list(f"settings__{SETTING}", flat=True).get(pk=write.company_id)
    if rule is None:
        return ()
    source = view(write.entity, system_actor(write.company_id))
    condition = compile_condition(rule["when"], source, old_values=True)
    return (GateRule(rule["code"], rule["path"], rule["detail"], row_condition(condition, source.entity)),)


def set_equipment_rule(*, actor: Actor, rule: Mapping[str, Any] | None) -> None:
    """Refuse writes of the company's equipment that meet the rule (`when`, `code`, `path`, `detail`). Needs a transaction."""
    settings = Func(
        F("settings"),
        Value([SETTING]),
        Value(rule, JSONField()),
        function="jsonb_set",
        output_field=JSONField(),
    )
    Company.objects.filter(pk=actor.company_id).update(settings=settings)
    gates_changed(actor.company_id)


GATES.register("equipment_rule", Gate("equipment_rule", _rules, frozenset({"equipment"})))
REFUSALS.register("locked_by_inspection", Locked)
