"""What workflows plug into registries: action types, a kind of notification, a switch of the company."""

from __future__ import annotations

from typing import Any

from core.delivery.kinds import NotificationKind, register_notification_kind
from core.entities.kinds import BadValue
from core.identity.operations import COMPANY_SETTINGS, CompanySetting
from workflow import action_types

__all__ = ["action_types"]


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadValue("not_a_boolean", "true or false is expected.")
    return value


ENABLED = COMPANY_SETTINGS.register(
    "workflow_engine_enabled",
    CompanySetting(_switch, True, "Whether workflows start at all; runs that have begun go on."),
)

MESSAGE = register_notification_kind(
    NotificationKind(
        name="workflow.message",
        label="Messages of workflows",
        description="What a workflow was set up to tell you.",
    )
)
