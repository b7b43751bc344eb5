"""No input gives a 500: whatever is sent, the answer is a success or a problem document that says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from core.rest import viewsets
from core.rest.parsing import MAX_BODY_BYTES, StrictJsonParser
from tests.conformance.calls import control
from tests.conformance.operations import Operation, every_operation, operations
from tests.conformance.rooms import Answer, Call, Rooms

BODIES: dict[str, str | bytes] = {
    "nothing": "",
    "null": "null",
    "a list": "[]",
    "a text": '"x"',
    "a number": "0",
    "an open brace": "{",
    "two documents": "{}{}",
    "NaN": '{"x": NaN}',
    "infinity": '{"x": -Infinity}',
    "1e999": '{"x": 1e999}',
    "a million digits": '{"x": ' + "9" * 1_000_000 + "}",
    "depth 1,000": '{"x": ' + "[" * 1_000 + "]" * 1_000 + "}",
    "depth 100,000": "[" * 100_000,
    "a key twice": '{"x": 1, "x": 2}',
    "NUL in a key": '{"\\u0000": 1}',
    "lone surrogate in a key": '{"\\ud800": 1}',
    "bad UTF-8": b'{"x": "\xff\xfe"}',
    "UTF-16": '{"x": 1}'.encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "proto": '{"__proto__": {"a": 1}, "constructor": 1, "__class__": 1}',
    "SQL": json.dumps({"id'); DROP TABLE core_user; --": 1}),
    "no body of JSON at all": "a=b&c=d",
}
# In place of each value of a body that would succeed.
VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    2**31,
    2**63,
    10**300,
    1.5,
    "",
    " ",
    "\x00",
    "\ud800",
    "x" * 100_000,
    "９９９",
    "١٢٣",
    "-0",
    "1e400",
    "0000-00-00",
    "9999-12-31T23:59:59-23:59",
    "%s %(company)s {0} ${x} '; --",
    [],
    [None],
    [[]],
    {},
    {"$ne": 1},
]
QUERIES = [
    "x=1",
    "=",
    "&&&",
    "%",
    "%zz",
    "%00",
    "search=%00",
    "search=%21%21",
    "search=" + "x" * 10_000,
    "search=%ED%A0%80",
    "search='%20%26%20!(%3A*%20%7C",
    "id=%00",
    "id=x",
    "id__in=,",
    "id__in=" + "x," * 1_000,
    "id__isnull=maybe",
    "id__id__id=1",
    "id.id.id.id.id.id=1",
    "version__gte=99999999999999999999",
    "version=%D9%A1",
    "version=1_0",
    "version__between=2,1",
    "created_at__gte=0001-01-01T00:00:00%2B23:59",
    "created_at__date=9999-12-31",
    "created_at=infinity",
    "page=%D9%A1",
    "page=0",
    "page=999999999",
    "page=1e3",
    "page_size=-1",
    "page_size=501",
    "cursor=x",
    "cursor=" + "A" * 10_000,
    "cursor=&ordering=version,-created_at",
    "ordering=" + ",".join(["id"] * 50),
    "ordering=--id",
    "ordering=;drop",
    "fields=",
    "fields=id,,id",
    "expand=id,expand",
    "count=maybe",
    "&".join(f"version__ne={number}" for number in range(300)),
]
HEADERS = [
    {"If-Match": '"x"'},
    {"If-Match": '"99999999999"'},
    {"If-Match": "\x00"},
    {"If-Match": '"1", "2"'},
    {"If-None-Match": "\xff"},
    {"Idempotency-Key": ""},
    {"Idempotency-Key": "x" * 10_000},
    {"Idempotency-Key": "a\x00b"},
    {"X-Company": "\x00"},
    {"X-Company": "x" * 10_000},
    {"X-Company": "acme\r\nSet-Cookie: a=b"},
    {"X-Correlation-ID": "a\r\nSet-Cookie: a=b"},
    {"X-Correlation-ID": "x" * 10_000},
    {"Accept": "image/png"},
    {"Accept": "\x00"},
    {"Accept-Version": "v99"},
    {"User-Agent": "\x00" * 1_000},
    {"Authorization": "Bearer"},
    {"Authorization": "Bearer \x00"},
    {"Authorization": "Bearer a.b.c"},
    {"Authorization": "Api-Key x.\x00"},
    {"Authorization": "Api-Key " + "x" * 10_000},
    {"Authorization": "Basic YTpi"},
    {"Content-Length": "x"},
]
PATHS = ["%00", "x", "..", "%2e%2e%2f", "%F0%9F%92%A9", "%ED%A0%80", "0" * 36, "-1", "null", "x" * 5_000, "'"]
CONTENT_TYPES = [
    "text/plain",
    "application/xml",
    "multipart/form-data",
    "application/json; charset=utf-7",
    "",
    "\x00",
]
# The short form takes a part of each corpus for an operation, so that each item still meets many operations.
SHARE = 6


@pytest.fixture(scope="session")
def share(request: pytest.FixtureRequest) -> int:
    return 1 if request.config.getoption("--long") else SHARE


def portion(items: list[Any], operation: Operation, share: int) -> Iterator[Any]:
    start = operations().index(operation)
    return (item for place, item in enumerate(items) if (place + start) % share == 0)


def fault(answer: Answer) -> str:
    """What is wrong with how something hostile was answered; empty when nothing is."""
    if answer.status == 503 and '"parts"' in answer.text:
        # The health check says so in a document of its own.
        return ""
    if answer.status >= 500:
        return f"{answer.status}: {answer.beside[-1500:]}"
    if answer.error:
        return answer.error
    if answer.status >= 400 and answer.headers.get("content-type") != "application/problem+json":
        return f"{answer.status} as {answer.headers.get('content-type')}"
    if "set-cookie" in answer.headers or any("\n" in value for value in answer.headers.values()):
        return f"headers {answer.headers}"
    if answer.status >= 400:
        missing = {"type", "title", "status", "detail", "code", "correlation_id", "errors"} - set(
            answer.json()
        )
        return f"without {missing}" if missing else ""
    return ""


def raw(
    call: Call,
    rooms: Rooms,
    *,
    path: str = "",
    query: str = "",
    body: str | bytes | None = None,
    **options: str,
) -> Answer:
    """Send the call with parts of it exactly as given."""

    class Exactly(Call):
        @property
        def url(self) -> str:
            return (path or call.url.partition("?")[0]) + (f"?{query}" if query else "")

    sent = Exactly(call.operation, call.path, (), call.body if body is None else body, call.headers)
    return rooms.send(sent, content_type=options.get("content_type"))


class TestEveryOperation:
    @every_operation()
    def test_refuses_hostile_bodies(self, operation: Operation, rooms: Rooms, share: int) -> None:
        if not operation.takes_body or StrictJsonParser not in operation.view.parser_classes:
            return
        call = control(operation, rooms.acme)
        for name, body in portion(list(BODIES.items()), operation, share):
            assert fault(raw(call, rooms, body=body)) == "", name
        for content_type in portion(CONTENT_TYPES, operation, share):
            assert fault(raw(call, rooms, body="{}", content_type=content_type)) == "", content_type

    @every_operation()
    def test_refuses_hostile_values(self, operation: Operation, rooms: Rooms, share: int) -> None:
        call = control(operation, rooms.acme)
        if not isinstance(call.body, dict) or call.is_form:
            return
        for value in portion(VALUES, operation, share):
            for name in call.body:
                assert fault(rooms.send(replace(call, body={**call.body, name: value}))) == "", (
                    f"{name}={value!r:.50}"
                )

    @every_operation()
    def test_refuses_hostile_parameters(self, operation: Operation, rooms: Rooms, share: int) -> None:
        call = control(operation, rooms.acme)
        for query in portion(QUERIES, operation, share):
            assert fault(raw(call, rooms, query=query)) == "", query[:100]

    @every_operation()
    def test_refuses_hostile_headers(self, operation: Operation, rooms: Rooms, share: int) -> None:
        call = control(operation, rooms.acme)
        for headers in portion(HEADERS, operation, share):
            assert fault(rooms.send(replace(call, headers=headers))) == "", f"{headers!r:.100}"

    @every_operation()
    def test_refuses_hostile_paths(self, operation: Operation, rooms: Rooms, share: int) -> None:
        call = control(operation, rooms.acme)
        for name in operation.parameters:
            for text in portion(PATHS, operation, share):
                others = replace(
                    call, path={other: value for other, value in call.path.items() if other != name}
                )
                path = others.url.replace(f"{{{name}}}", text)
                assert fault(raw(call, rooms, path=path)) == "", path[:100]


class TestBodies:
    def test_beyond_the_limit_are_too_large(self, rooms: Rooms) -> None:
        operation = next(item for item in operations() if item.name == "POST /roles/")
        body = '{"name": "' + "x" * (MAX_BODY_BYTES - 11) + '"}'
        assert len(body) == MAX_BODY_BYTES + 1
        answer = raw(control(operation, rooms.acme), rooms, body=body)

        assert (answer.status, answer.json()["limit"]) == (413, MAX_BODY_BYTES)

    def test_at_the_limit_are_read(self, rooms: Rooms) -> None:
        operation = next(item for item in operations() if item.name == "POST /roles/")
        body = '{"name": "' + "x" * (MAX_BODY_BYTES - 12) + '"}'
        answer = raw(control(operation, rooms.acme), rooms, body=body)

        assert (answer.status, answer.json()["errors"][0]["code"]) == (400, "too_long")


class TestThisVeryCheck:
    def test_sees_a_crash(self, rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
        def crash(*arguments: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(viewsets, "read_list_query", crash)
        operation = next(item for item in operations() if item.name == "GET /roles/")
        assert "ZeroDivisionError" in fault(rooms.send(Call(operation)))
