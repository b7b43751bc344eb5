"""Ids that are ordered by time."""

from __future__ import annotations

from uuid import UUID

from core.kernel.ids import uuid7, uuid7_text


def test_are_of_version_seven_and_grow_in_either_form() -> None:
    made = [str(uuid7()) if number % 2 else uuid7_text() for number in range(10_000)]
    assert made == sorted(set(made))
    assert {(str(UUID(text)), UUID(text).version, UUID(text).variant) for text in made} == {
        (text, 7, "specified in RFC 4122") for text in made
    }
