"""Fixtures of what plugs into `core.access`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.seams.access import extensions


@pytest.fixture
def plugs() -> Iterator[None]:
    """The providers of the seams' app, silent again after the test."""
    try:
        yield
    finally:
        extensions.forget()
