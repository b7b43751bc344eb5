"""Every registry of core, so that start-up can freeze them and conformance tests can loop over them."""

from __future__ import annotations

from core.entities.registry import entities
from core.identity.operations import COMPANY_SETTINGS, COMPANY_STARTERS
from core.identity.rights import PERMISSION_WORDS

REGISTRIES = [entities, PERMISSION_WORDS, COMPANY_STARTERS, COMPANY_SETTINGS]


def freeze_all() -> None:
    for registry in REGISTRIES:
        registry.freeze()
