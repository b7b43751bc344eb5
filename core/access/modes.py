"""What an actor may do with each field."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from core.entities import Entity, Field
from core.entities.kinds import Kind
from core.kernel.registry import Registry
from core.tenancy.actors import Actor, Rights


class Mode(StrEnum):
    """From the strictest to the freest."""

    # As if there were no such field.
    HIDDEN = "hidden"
    # Shown through a mask; neither written nor asked for.
    MASK = "mask"
    VIEW = "view"
    EDIT = "edit"


_STRICTNESS = {mode: place for place, mode in enumerate(Mode)}


@dataclass(frozen=True, slots=True)
class Mask:
    """How a value is shown to those who may not read it. Null and an empty text are shown as they are.

    `sql` makes SQL for the masked text of SQL for a text; it may be null. `python` does the same to a value. Both mean the
    same. The SQL holds no percent sign.
    """

    sql: Callable[[str], str]
    python: Callable[[str], str | None]


REDACTED = Mask(lambda value: "'•••'::text", lambda value: "•••")


@dataclass(frozen=True, slots=True)
class FieldMode:
    """What a provider says of one field."""

    mode: Mode
    mask: Mask = REDACTED


class ModeProvider(Protocol):
    """Narrows what actors may do with fields; of several answers the strictest counts. None can widen."""

    def version(self, actor: Actor) -> Hashable | None:
        """Another value whenever `modes` answers something else for actors of this company; None while it narrows nothing
        there. Asked with every request, so it must cost no statement of its own."""
        ...

    def modes(self, entity: Entity, company_id: UUID, rights: Rights) -> Mapping[str, FieldMode]:
        """The narrowed fields by name, for whoever has these rights in the company. Depends on nothing else."""
        ...


MODE_PROVIDERS: Registry[ModeProvider] = Registry("mode provider")

# Without these no record can be named, and no change be based on what was read.
ALWAYS_VISIBLE = frozenset({"id", "version"})


def strictest(modes: list[FieldMode]) -> FieldMode:
    """The mode that counts; the first of equals, with its mask."""
    return min(modes, key=lambda item: _STRICTNESS[item.mode])


def masked(field: Field, mask: Mask) -> Field:
    """The field as those see it to whom it is masked: a text that cannot be asked for, whatever kind of value it hides.

    Raises: ValueError for a mask whose SQL cannot be used.
    """
    value = f"({field.sql or '{t}.' + chr(34) + field.column + chr(34)})::text"
    shown = mask.sql("\0")
    if "%" in shown:
        raise ValueError("the SQL of a mask holds no percent sign")
    shown = shown.replace("{", "{{").replace("}", "}}").replace("\0", f"({value})")
    return replace(
        field,
        kind=Kind.TEXT,
        column="",
        alias=f"masked_{field.attribute}",
        sql=f"CASE WHEN ({value}) = '' THEN '' WHEN ({value}) IS NOT NULL THEN {shown} END",
        nullable=True,
        search="",
        key=False,
        filterable=False,
        sortable=False,
        dimension=False,
        measure=False,
        choices=(),
        default=None,
        to="",
        unique=False,
        folded="",
    )
