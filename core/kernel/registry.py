"""Registries: named entries that apps add while Django starts and that never change afterwards.

An app that offers an extension point makes a `Registry` in its `registries.py` (or in any module that start-up loads);
apps above it add entries in their `entities.py`, `actions.py`, `extensions.py`, `consumers.py` or `tasks.py`. Every
registry is in `all_registries()`, so that start-up freezes it and conformance tests loop over it unasked.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Generic, TypeVar
from weakref import WeakSet

from django.apps import apps

T = TypeVar("T")


class DuplicateEntry(Exception):
    """Two entries were registered under one name."""


class RegistryFrozen(Exception):
    """Something was registered after start-up."""


class Registry(Generic[T]):
    """Entries by name, in the order in which they were registered. `what` names one of them in messages."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._entries: dict[str, T] = {}
        self._modules: dict[str, str] = {}
        self._is_frozen = False
        _registries.add(self)

    def __repr__(self) -> str:
        return f"<Registry of {self.what}: {len(self)}>"

    def register(self, name: str, entry: T) -> T:
        """Add `entry`.

        Raises: DuplicateEntry, RegistryFrozen.
        """
        if self._is_frozen:
            raise RegistryFrozen(f"{self.what} {name!r} came after start-up")
        if name in self._entries:
            raise DuplicateEntry(f"{self.what} {name!r} is registered twice")
        self._entries[name] = entry
        self._modules[name] = _module_being_imported()
        return entry

    def registered_by(self, name: str) -> str:
        """The label of the app that registered the entry.

        Raises: KeyError.
        """
        module = self._modules[name]
        app = apps.get_containing_app_config(module)
        return app.label if app is not None else module.partition(".")[0]

    def freeze(self) -> None:
        self._is_frozen = True

    @property
    def is_frozen(self) -> bool:
        return self._is_frozen

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


# Weak, so that a registry that a test makes for itself goes with the test.
_registries: WeakSet[Registry[Any]] = WeakSet()


def all_registries() -> tuple[Registry[Any], ...]:
    """Every registry of the process, by name."""
    return tuple(sorted(_registries, key=lambda registry: registry.what))


def freeze_all() -> None:
    """End of start-up: nothing can be registered from now on."""
    for registry in all_registries():
        registry.freeze()


def _module_being_imported() -> str:
    """The module whose import led here, whichever functions of other modules it went through."""
    frame = sys._getframe(2)
    while frame.f_code.co_name != "<module>" and frame.f_back is not None:
        frame = frame.f_back
    return str(frame.f_globals["__name__"])
