"""Territories, members and records for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.worlds import World

URL = "/api/v1/territories/"


@pytest.fixture
def make_territory(acme: World) -> Callable[..., dict[str, Any]]:
    """`make_territory(name, parent=None, **fields)` over the API, as the admin of acme."""

    def make(name: str, parent: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
        body = {"name": name, "code": name, "parent_territory": parent and parent["id"], **fields}
        answer = acme.client().post(URL, body)
        assert answer.status_code == 201, answer.content
        document: dict[str, Any] = answer.json()
        return document

    return make
