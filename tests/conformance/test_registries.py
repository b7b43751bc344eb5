"""Every registry of every app: found unasked, closed after start-up, and each entry says whose it is and what it is."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from django.apps import apps

# Loaded with the URLs, as a server does before its first request.
import config.urls  # noqa: F401
from core.kernel.registry import Registry, all_registries

MINIMUM = {"entity", "consumer", "job kind", "permission word", "record sharing", "home panel"}


def every_registry() -> Any:
    return pytest.mark.parametrize("registry", all_registries(), ids=lambda registry: registry.what)


def described(entry: Any) -> bool:
    """Whether people can read what the entry is: by its text, by a label that its type asks for, or by its docstring if
    it is code. A type whose label may be left out (machinery that nobody sees) is fine without."""
    if isinstance(entry, str):
        return bool(entry)
    if inspect.isroutine(entry) or inspect.isclass(entry):
        return bool(inspect.getdoc(entry))
    if hasattr(entry, "label") and getattr(type(entry), "label", None) != "":
        return bool(entry.label)
    return True


class TestRegistries:
    def test_are_found_at_all(self) -> None:
        assert {registry.what for registry in all_registries()} >= MINIMUM

    def test_have_names_of_their_own(self) -> None:
        names = [registry.what for registry in all_registries()]
        assert sorted(set(names)) == names

    @every_registry()
    def test_are_closed_after_start_up(self, registry: Registry[Any]) -> None:
        assert registry.is_frozen, "made or loaded after start-up: put it into a module that start-up loads"

    @every_registry()
    def test_know_the_app_of_each_entry(self, registry: Registry[Any]) -> None:
        labels = {app.label for app in apps.get_app_configs()}
        assert {registry.registered_by(name) for name in registry.names()} <= labels

    @every_registry()
    def test_hold_entries_that_say_what_they_are(self, registry: Registry[Any]) -> None:
        assert [name for name in registry.names() if not described(registry[name])] == []
