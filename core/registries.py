"""Every registry of core, so that start-up can freeze them and conformance tests can loop over them."""

from __future__ import annotations

from typing import Any

from core.changes.stream import consumers
from core.entities.registry import entities
from core.identity.operations import COMPANY_SETTINGS, COMPANY_STARTERS
from core.identity.rights import PERMISSION_WORDS
from core.jobs.registry import job_kinds
from core.kernel.registry import Registry

REGISTRIES: list[Registry[Any]] = [
    entities,
    consumers,
    job_kinds,
    PERMISSION_WORDS,
    COMPANY_STARTERS,
    COMPANY_SETTINGS,
]


def freeze_all() -> None:
    for registry in REGISTRIES:
        registry.freeze()
