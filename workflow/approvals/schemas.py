"""Shapes of a process: its steps, and who approves."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from workflow.approvals.engine.votes import Rule
from workflow.schemas import Part

MAX_STEPS = 20
MAX_APPROVERS = 50


class CountDocument(Part):
    """So many people."""

    count: int = Field(ge=1, le=MAX_APPROVERS)


class WeightDocument(Part):
    """So many points, of those that approvers have as their `weight`."""

    weight: int = Field(ge=1, le=1_000_000)


class ApproverDocument(Part):
    """Who approves: a member, everybody with a role, the submitter's manager, the record's owner, a person it names."""

    kind: Literal["user", "role", "manager", "owner", "field"]
    user: UUID | None = None
    role: str = Field("", max_length=100, description="The name of a role.")
    levels: int = Field(1, ge=1, le=10, description="1 is the submitter's manager, 2 the manager's manager.")
    field: str = Field("", max_length=128, description="A field of the record that holds a person.")
    weight: int = Field(1, ge=1, le=1_000_000)


class ApprovalStepDocument(Part):
    """One step. A text among the approvers is a member's email address."""

    step: int = Field(ge=1, le=1_000)
    name: str = Field("", max_length=200)
    approvers: list[str | ApproverDocument] = Field(max_length=MAX_APPROVERS)
    type: Literal["sequential", "parallel"] = "parallel"
    require_all: bool | None = None
    require: Literal["all", "any", "majority"] | CountDocument | WeightDocument | None = None
    condition: dict[str, Any] | None = Field(None, description="Skipped unless this holds of the record.")
    on_reject: Literal["stop", "back_to_previous", "back_to_submitter"] = "stop"
    sla_hours: int | None = Field(None, ge=1, le=8_784)
    allow_delegate: bool = True

    def rule(self, *, require_all: bool) -> Rule:
        """When it is decided. One after the other means everybody."""
        if self.type == "sequential":
            return Rule("all")
        if isinstance(self.require, CountDocument):
            return Rule("count", self.require.count)
        if isinstance(self.require, WeightDocument):
            return Rule("weight", self.require.weight)
        if self.require is not None:
            return Rule(self.require)
        everybody = require_all if self.require_all is None else self.require_all
        return Rule("all" if everybody else "any")


class ProcessDocument(Part):
    """What a request keeps of its process."""

    name: str
    steps: list[ApprovalStepDocument]
    require_all_approvers: bool
    allow_self_approval: bool
    enable_escalation: bool
    escalation_after_hours: int | None
    escalation_chain: list[str | ApproverDocument]
    at_chain_end: Literal["expire", "approve", "reject"]
    on_resubmit: Literal["restart", "resume"]

    def number(self, step: int) -> ApprovalStepDocument:
        return next(item for item in self.steps if item.step == step)
