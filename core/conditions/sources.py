"""Where a condition's fields come from: an entity as one actor sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from core.entities.registry import Entity, Field


class UnknownField(Exception):
    """There is no such field for this actor: hidden and unknown are the same."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class MaskedField(Exception):
    """The actor sees the field through a mask only, so nothing may be filtered, sorted or grouped by it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class FieldSource(Protocol):
    """An entity narrowed to what may be asked of it (`core.access.EntityView`)."""

    @property
    def entity(self) -> Entity: ...

    @property
    def askable(self) -> Mapping[str, Field]:
        """Every field to ask for, by name."""
        ...

    def field(self, name: str) -> Field:
        """A field to ask for. A company's own is named `custom_fields.<key>`.

        Raises: UnknownField, MaskedField.
        """
        ...

    def related(self, name: str) -> FieldSource:
        """The source behind a relation.

        Raises: UnknownField when the field is no relation, or what it points to may not be asked; MaskedField.
        """
        ...

    def records(self) -> Any:
        """The queryset of the records that count: those a relation may lead to. Any other is as if it were
        null.
        """
        ...
