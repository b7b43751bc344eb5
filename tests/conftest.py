"""Fixtures for every test."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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


@pytest.fixture(scope="session", autouse=True)
def _nothing_comes_behind_the_last() -> Iterator[None]:
    """A request's last statement ends its transaction. In a test another transaction is around it, so nothing ends, but a
    statement behind the last is refused all the same."""
    from django.db import ProgrammingError, connections

    from core.rest.views import ApiView
    from core.tenancy.postgresql.base import DatabaseWrapper

    once, fetch, untold = ApiView._once, DatabaseWrapper.fetch_prepared, DatabaseWrapper._untold
    # The connections that are answering a request, and whether its last statement has run.
    said: dict[int, bool] = {}

    def fetching(self: Any, *args: Any, last: bool = False, **kwargs: Any) -> Any:
        rows = fetch(self, *args, last=last, **kwargs)
        if last and id(self) in said:
            said[id(self)] = True
        return rows

    def telling(self: Any) -> Any:
        if said.get(id(self)):
            raise ProgrammingError("A statement comes behind the last one of the request.")
        return untold(self)

    def answering(self: Any, request: Any, handler: Any) -> Any:
        key = id(connections["default"])
        said[key] = False
        try:
            return once(self, request, handler)
        finally:
            del said[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ApiView, "_once", answering)
        patch.setattr(DatabaseWrapper, "fetch_prepared", fetching)
        patch.setattr(DatabaseWrapper, "_untold", telling)
        yield


@pytest.fixture
def acme(db: None) -> World:
    """The company under test."""
    return make_world("acme")


@pytest.fixture
def globex(db: None) -> World:
    """Somebody else's company, of the same shape."""
    return make_world("globex")
