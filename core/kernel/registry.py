"""A registry of named entries: filled while Django starts, frozen afterwards, duplicates refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class DuplicateEntry(Exception):
    """Two entries were registered under one name."""


class RegistryFrozen(Exception):
    """Something was registered after start-up."""


class Registry(Generic[T]):
    """Entries by name, in the order they were registered."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._entries: dict[str, T] = {}
        self._frozen = False

    def register(self, name: str, entry: T) -> T:
        """Add `entry`.

        Raises: DuplicateEntry, RegistryFrozen.
        """
        if self._frozen:
            raise RegistryFrozen(f"{self.what} {name!r} came after start-up")
        if name in self._entries:
            raise DuplicateEntry(f"{self.what} {name!r} is registered twice")
        self._entries[name] = entry
        return entry

    def freeze(self) -> None:
        self._frozen = True

    def find(self, name: str) -> T | None:
        return self._entries.get(name)

    def __getitem__(self, name: str) -> T:
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[T]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def names(self) -> tuple[str, ...]:
        return tuple(self._entries)
