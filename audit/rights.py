"""The permission words of audit. Values of records are shown by the actor's own field modes besides."""

from __future__ import annotations

VIEW_AUDIT = "view_audit"
MANAGE_AUDIT = "manage_audit"
