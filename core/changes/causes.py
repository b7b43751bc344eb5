"""Chains of causes: a change makes a consumer write, that write is a change again. Where such a chain ends."""

from __future__ import annotations

from core.kernel.errors import Conflict
from core.tenancy import context

# A chain of automations that people make is a few steps long; one that is longer runs in a circle.
MAX_DEPTH = 16


class LoopDetected(Conflict):
    """Changes caused each other too many times in a row. Trying again cannot help."""

    code = "loop_detected"
    title = "These changes cause each other without end"


def refuse_loops() -> None:
    """Raises: LoopDetected when the actor in context is more than `MAX_DEPTH` steps away from whoever began."""
    actor = context.current().actor
    if actor is not None and actor.depth > MAX_DEPTH:
        raise LoopDetected(
            f"More than {MAX_DEPTH} changes in a row caused each other; the last one was {actor.cause}."
        )
