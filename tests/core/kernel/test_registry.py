"""Registries: what they refuse, and that each knows itself and who filled it."""

from __future__ import annotations

import pytest

from core.kernel.registry import DuplicateEntry, Registry, RegistryFrozen, all_registries


class TestRegistry:
    def test_refuses_a_second_entry_of_the_same_name(self) -> None:
        registry: Registry[int] = Registry("number")
        registry.register("one", 1)
        with pytest.raises(DuplicateEntry):
            registry.register("one", 2)

    def test_refuses_entries_after_start_up(self) -> None:
        registry: Registry[int] = Registry("number")
        registry.freeze()
        with pytest.raises(RegistryFrozen):
            registry.register("one", 1)

    def test_is_listed_as_long_as_it_lives(self) -> None:
        registry: Registry[int] = Registry("number")
        assert registry in all_registries()
        del registry
        assert "number" not in {registry.what for registry in all_registries()}

    def test_knows_the_app_through_the_functions_of_another(self) -> None:
        registry: Registry[int] = Registry("number")
        source = "def declare(name): registry.register(name, 1)\n"
        core: dict[str, object] = {"registry": registry, "__name__": "core.entities.registry"}
        exec(source, core)  # noqa: S102 - stands for a module
        exec("declare('one')", {"declare": core["declare"], "__name__": "crm.entities.leads"})  # noqa: S102
        assert registry.registered_by("one") == "crm"
