"""What territories plug into the registries below."""

from __future__ import annotations

from core.identity.rights import PERMISSION_WORDS
from territories import sharing
from territories.rights import MANAGE_TERRITORIES

__all__ = ["sharing"]

PERMISSION_WORDS.register(
    MANAGE_TERRITORIES, "The tree of territories, their members, their rules, and reassignment"
)
