"""What the registry knows of approvals."""

from __future__ import annotations

from core.entities import Entity, Writes, fact, register
from core.identity.rights import MANAGE_SETTINGS
from workflow.approvals import operations
from workflow.approvals.schemas import ApprovalStepDocument, ApproverDocument

APPROVAL_PROCESS = register(
    Entity(
        name="approval_process",
        plural="approval_processes",
        model_label="workflow.ApprovalProcess",
        served_at="workflow/approval-processes",
        description="Who has to agree to records of a kind, in which steps, and what happens when nobody does.",
        facts=(
            fact("name", key=True, meaning="name", search="A"),
            fact("description", search="D"),
            fact("process_type"),
            fact("entity_type", description="The kind of records that are submitted: deal."),
            fact("entry_condition", description="Which records may be submitted; a condition."),
            fact("steps", json_type=list[ApprovalStepDocument], description="In the order of their numbers."),
            fact("require_all_approvers", description="For parallel steps that do not say themselves."),
            fact("allow_self_approval"),
            fact(
                "locked_fields",
                json_type=list[str],
                description="Fields that nobody changes while a request is pending; the approval is bound to them.",
            ),
            fact("enable_escalation"),
            fact("escalation_after_hours", description="For steps without hours of their own."),
            fact(
                "escalation_chain",
                json_type=list[str | ApproverDocument],
                description="Approvers, one for each level.",
            ),
            fact("at_chain_end", description="What happens when nobody of the chain decides either."),
            fact("on_resubmit"),
            fact("is_active"),
        ),
        writes=Writes(
            create=operations.create_processes,
            update=operations.update_processes,
            delete=operations.delete_processes,
            check=operations.check_process,
        ),
        guarded_by=MANAGE_SETTINGS,
        ordering="name",
    )
)
