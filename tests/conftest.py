"""Fixtures for every test."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.worlds import World, make_world

_ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_dir() -> Callable[[str], Path]:
    """A function from the name of a set of real data to its folder; it skips the test where that is absent.

    The sets lie in the folder that `ATRIUM_DATA` names, or in `shared/data` beside the checkout.
    """
    collection = Path(os.environ.get("ATRIUM_DATA") or _ROOT.parent / "shared" / "data")

    def find(name: str) -> Path:
        folder = collection / name
        if not folder.is_dir():
            pytest.skip(f"the real data set {name} is not here; name its collection in ATRIUM_DATA")
        return folder

    return find


@pytest.fixture
def acme(db: None) -> World:
    """The company under test."""
    return make_world("acme")


@pytest.fixture
def globex(db: None) -> World:
    """Somebody else's company, of the same shape."""
    return make_world("globex")
