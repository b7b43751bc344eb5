"""From a condition as JSON to a typed one: every field, operator and value is checked, all faults are
reported at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import cached_property
from typing import TYPE_CHECKING, Any

from core.conditions import memory, queryset, schema
from core.conditions.leaves import LeafReader
from core.conditions.nodes import Check, Tree, checks_of
from core.conditions.schema import Every, Leaf, Not, Some
from core.conditions.sources import FieldSource
from core.kernel.errors import Fault, refused_input

if TYPE_CHECKING:
    from django.db.models import Q


@dataclass(frozen=True)
class Condition:
    """A typed condition over one entity, as the actor of its source may ask it.

    Both back ends mean the same: what `to_q` selects is what `matches` accepts.
    """

    tree: Tree
    # Where days begin.
    zone: tzinfo

    @cached_property
    def checks(self) -> tuple[Check, ...]:
        return tuple(checks_of(self.tree))

    @cached_property
    def in_memory_only(self) -> bool:
        """Whether it asks for old values or patterns, which a queryset cannot."""
        return any(check.of_old or check.operator.in_memory_only for check in self.checks)

    @cached_property
    def fields(self) -> frozenset[str]:
        """Every field asked, as a dotted path; one of the old values begins with `old.`."""
        return frozenset(check.path for check in self.checks)

    @cached_property
    def relations(self) -> frozenset[str]:
        """The relations whose records `matches` wants: `account`, `account.owner`."""
        return frozenset(
            ".".join(step.field.name for step in check.steps[: depth + 1])
            for check in self.checks
            for depth in range(len(check.steps))
        )

    def to_q(self, *, now: datetime) -> Q:
        """The condition as a `Q` for querysets of the entity's model.

        Negate the condition, not the `Q`: below Django's negation a null would be "unknown" again. Needs
        the company in context when it asks over relations. Raises: queryset.InMemoryOnly.
        """
        return queryset.to_q(self.tree, now, self.zone)

    def matches(
        self, record: Mapping[str, Any], old: Mapping[str, Any] | None = None, *, now: datetime
    ) -> bool:
        """Whether a record meets the condition.

        `record` maps field names to values, as Python has them or as JSON writes them: a document of the API
        will do. `custom_fields` is a mapping inside; beside the id of each of `relations` stands the related
        record as `<name>_detail`, None when it may not be seen. `old` has at least those fields that differed
        before (and the details of such relations); None means that there was no record before.
        Raises: memory.NotLoaded.
        """
        return memory.holds(self.tree, record, old, now, self.zone)

    def explain(
        self, record: Mapping[str, Any], old: Mapping[str, Any] | None = None, *, now: datetime
    ) -> memory.Explanation:
        """The outcome of every part, with the values it met. Raises: memory.NotLoaded."""
        return memory.explain(self.tree, record, old, now, self.zone)


def compile_condition(
    document: Any,
    source: FieldSource,
    *,
    zone: tzinfo = UTC,
    old_values: bool = False,
    in_memory: bool = False,
) -> Condition:
    """The condition that a JSON document says.

    `zone` decides where days begin. `old_values`: it will be asked of changes, so `changed`,
    `changed_from`, `changed_to` and `old.<field>` are allowed. `in_memory`: it will only be asked of single
    records, so `matches` is allowed. Raises: Invalid with all faults, their paths into the document; Forbidden likewise,
    when one of the fields is masked for the actor.
    """
    shape, faults = schema.read(document)
    leaves = LeafReader(source, old_values=old_values, in_memory=in_memory)
    tree = None if shape is None else _typed(shape, leaves, faults)
    if faults or tree is None:
        raise refused_input("The condition is not valid.", faults=faults)
    return Condition(tree, zone)


def _typed(node: Any, leaves: LeafReader, faults: list[Fault]) -> Any:
    match node:
        case Leaf():
            found = leaves.read(node.field, node.operator, node.value)
            if isinstance(found, Check):
                return found
            faults += [fault.below(node.path) if node.path else fault for fault in found]
            return None
        case Not(part):
            return Not(_typed(part, leaves, faults))
        case Every(parts) | Some(parts):
            return type(node)(tuple(_typed(part, leaves, faults) for part in parts))
