"""The permission word of territories."""

from __future__ import annotations

MANAGE_TERRITORIES = "manage_territories"
