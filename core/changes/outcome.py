"""What a write answers."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from core.changes.refusals import refusal
from core.kernel.errors import Fault


@dataclass(slots=True)
class Outcome:
    """What became of each candidate row, by its place: an id and version, or the faults that kept it out."""

    ids: dict[int, UUID]
    versions: dict[int, int]
    refused: dict[int, tuple[Fault, ...]]
    # Places whose row was already as asked.
    unchanged: frozenset[int] = frozenset()

    @property
    def one(self) -> UUID:
        """The id of the only row.

        Raises: Refused.
        """
        self.raise_if_refused()
        return self.ids[0]

    def raise_if_refused(self) -> None:
        """Raises: the domain error that fits the first refusal, with the faults of all."""
        if self.refused:
            raise refusal(self.refused)
