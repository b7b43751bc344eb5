"""Consumers of a test's own, and imports: a file goes in through the same writes as everything else."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from core.changes import stream, waking
from core.changes.stream import Batch, ConsumerEntry, consumers
from tests.data_import.conftest import _private_media, run, write  # noqa: F401


@pytest.fixture
def add() -> Iterator[Callable[..., ConsumerEntry]]:
    """Register a consumer that starts now; it is gone after the test."""
    names: list[str] = []

    def register(handle: Callable[[Batch], None], name: str = "test", **options) -> ConsumerEntry:
        entry = ConsumerEntry(
            name,
            handle,
            frozenset(options.get("entity_types", ())),
            frozenset(options.get("events", ())),
            from_now=True,
        )
        consumers._entries[name] = entry
        waking.listening.add(name)
        names.append(name)
        stream.run_consumer(name)
        return entry

    yield register
    for name in names:
        del consumers._entries[name]
        waking.listening.discard(name)
