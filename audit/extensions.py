"""What audit plugs into the registries below."""

from __future__ import annotations

from audit.rights import MANAGE_AUDIT, VIEW_AUDIT
from core.identity.rights import PERMISSION_WORDS

PERMISSION_WORDS.register(
    VIEW_AUDIT, "See the change log of the whole company: who did what, when and from where"
)
PERMISSION_WORDS.register(
    MANAGE_AUDIT, "Review entries of the change log, write its policies, export it and report on it"
)
