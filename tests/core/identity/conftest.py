"""Fixtures: two companies with a person in both, and the routes of core alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import override_settings

from core.identity.operations import COMPANY_STARTERS
from tests.worlds import Worlds, make_worlds


@pytest.fixture(autouse=True)
def _core_alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The routes of core, and companies that start with nothing but their roles."""
    monkeypatch.setattr(COMPANY_STARTERS, "_entries", {})
    with override_settings(ROOT_URLCONF="tests.core.identity.urls"):
        yield


@pytest.fixture
def firms(db: None) -> Worlds:
    """In one transaction that is rolled back."""
    return make_worlds()


@pytest.fixture
def committed_firms(transactional_db: None) -> Worlds:
    """Really committed, for tests with threads."""
    return make_worlds()
