"""Every registry of core, so that start-up can freeze them and conformance tests can loop over them."""

from __future__ import annotations

from core.entities.registry import entities

REGISTRIES = [entities]


def freeze_all() -> None:
    for registry in REGISTRIES:
        registry.freeze()
