"""What the registry knows of workflows."""

from __future__ import annotations

from core.entities import Entity, Writes, fact, register
from core.identity.rights import MANAGE_SETTINGS
from workflow import operations
from workflow.schemas import ActionDocument, TriggerDocument

WORKFLOW = register(
    Entity(
        name="workflow",
        plural="workflows",
        model_label="workflow.Workflow",
        description="Rules: what starts them, and what they then do. One document holds triggers and actions.",
        facts=(
            fact("name", key=True, meaning="name", search="A"),
            fact("description", search="D"),
            fact("workflow_type"),
            fact("status", meaning="status"),
            fact("is_active"),
            fact(
                "entity_type",
                description="The kind of records; taken from the triggers where it is left out.",
            ),
            fact(
                "run_as",
                description="In whose name it acts; whoever makes it, unless somebody else is named.",
            ),
            fact("allow_reentry", description="Whether changes of its own runs may start it again."),
            fact("triggers", json_type=list[TriggerDocument], description="What starts it."),
            fact("actions", json_type=list[ActionDocument], description="What it does, in order."),
            fact("current_version", read_only=True),
        ),
        writes=Writes(
            create=operations.create_workflows,
            update=operations.update_workflows,
            delete=operations.delete_workflows,
            check=operations.check_workflow,
        ),
        guarded_by=MANAGE_SETTINGS,
        ordering="name",
    )
)
