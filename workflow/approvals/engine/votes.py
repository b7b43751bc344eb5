"""When a step is decided: by a threshold of points, as soon as open votes cannot change the outcome any more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["open", "approved", "rejected"]


@dataclass(frozen=True, slots=True)
class Vote:
    """One approver's place: what it counts, and what they said; None while they have said nothing."""

    weight: int
    approves: bool | None


@dataclass(frozen=True, slots=True)
class Rule:
    """How many points of approval a step wants. `number` belongs to `count` (people) and `weight` (points)."""

    kind: Literal["all", "any", "majority", "count", "weight"]
    number: int = 0

    def weights(self, given: Sequence[int]) -> list[int]:
        """What each approver counts: one, unless points are summed."""
        return list(given) if self.kind == "weight" else [1] * len(given)

    def needed(self, approvers: int) -> int:
        """Points that approve the step."""
        if self.kind == "all":
            return approvers
        if self.kind == "any":
            return 1
        if self.kind == "majority":
            return approvers // 2 + 1
        return self.number

    def is_possible(self, weights: Sequence[int]) -> bool:
        """Whether these approvers could approve at all."""
        return 0 < self.needed(len(weights)) <= sum(self.weights(weights))


def decide(rule: Rule, votes: Iterable[Vote]) -> Outcome:
    """The outcome of the votes, in whatever order they came."""
    cast = list(votes)
    weights = rule.weights([vote.weight for vote in cast])
    needed = rule.needed(len(cast))
    approved = sum(weight for weight, vote in zip(weights, cast, strict=True) if vote.approves is True)
    undecided = sum(weight for weight, vote in zip(weights, cast, strict=True) if vote.approves is None)
    if approved >= needed:
        return "approved"
    return "open" if approved + undecided >= needed else "rejected"
