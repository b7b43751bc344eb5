"""Writes of the members of territories."""

from __future__ import annotations

from core.changes import WriteSpec
from core.changes.rules import PlainOperations, fixed
from territories.models import TerritoryMember

_CREATION = WriteSpec(TerritoryMember)
_CHANGE = WriteSpec(
    TerritoryMember,
    rules=(
        fixed("territory_id", "territory", "A member stays in their territory; add them to the other one."),
        fixed("user_id", "user", "Add the other person instead."),
    ),
)

MEMBERS = PlainOperations(_CREATION, _CHANGE, WriteSpec(TerritoryMember))
