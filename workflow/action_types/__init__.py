"""The action types that the engine brings."""

from workflow.action_types import control, messages, owners, records, webhooks

__all__ = ["control", "messages", "owners", "records", "webhooks"]
