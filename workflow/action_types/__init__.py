"""The action types that the engine brings."""

from workflow.action_types import control, messages, records, webhooks

__all__ = ["control", "messages", "records", "webhooks"]
