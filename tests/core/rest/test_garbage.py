"""A request and all it holds go with its answer, without waiting for the garbage collector.

The framework binds a view's handlers and its request to themselves; bodies would pile up until somebody looks for them,
and looking takes a twentieth of the time of a small request.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import pytest
from django.core import signals
from django.core.handlers.wsgi import WSGIHandler
from django.db import close_old_connections
from django.http import HttpRequest
from django.test import RequestFactory
from rest_framework.request import Request

from core.rest.views import ApiView
from tests.worlds import World


@pytest.fixture
def kept_connection() -> Iterator[None]:
    """The end of a request leaves the test's transaction open."""
    for signal in (signals.request_started, signals.request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (signals.request_started, signals.request_finished):
        signal.connect(close_old_connections)


@cache
def _handler() -> WSGIHandler:
    return WSGIHandler()


def _answer(token: str, method: str, path: str, body: str) -> str:
    environ = RequestFactory().generic(
        method, path, body, content_type="application/json", headers={"Authorization": f"Bearer {token}"}
    )
    statuses: list[str] = []
    chunks: Any = _handler()(environ.environ, lambda status, headers, exc_info=None: statuses.append(status))
    assert b"".join(chunks)
    chunks.close()
    return statuses[0]


def _left(items: Iterable[object]) -> list[str]:
    return [type(item).__name__ for item in items if isinstance(item, ApiView | Request | HttpRequest)]


@pytest.mark.usefixtures("kept_connection")
@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/api/v1/contacts/?cursor=", "", "200 OK"),
        ("GET", "/api/v1/metadata/entities/contact/", "", "200 OK"),
        ("POST", "/api/v1/contacts/", '{"last_name": "Lovelace"}', "201 Created"),
        ("POST", "/api/v1/contacts/", '{"last_name": ""}', "400 Bad Request"),
        ("POST", "/api/v1/contacts/", "{", "400 Bad Request"),
        ("GET", "/api/v1/contacts/nobody/", "", "404 Not Found"),
        ("PUT", "/api/v1/contacts/", "{}", "405 Method Not Allowed"),
    ],
)
def test_a_request_leaves_nothing_to_collect(
    acme: World, method: str, path: str, body: str, status: str
) -> None:
    token = acme.token()
    # What is kept for later requests is made by the first.
    _answer(token, method, path, body)
    gc.collect()
    gc.disable()
    try:
        assert _answer(token, method, path, body) == status
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        assert _left(gc.garbage) == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
