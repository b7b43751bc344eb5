"""No input gives a 500: whatever is sent, the answer is a success or a problem document that says what is wrong."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from core.conditions.params import SUFFIXES
from core.entities.kinds import MAX_LONG_TEXT, Kind
from core.rest import parsing, viewsets
from core.rest.parsing import MAX_BODY_BYTES, StrictJsonParser
from tests.conformance.calls import control
from tests.conformance.operations import Operation, every_operation, lists, operations
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
    "a key twice, far down": '{"a": [{"b": {"x": 1, "x": 1}}]}',
    "a key twice among 20,000": json.dumps({f"k{n}": 0 for n in range(20_000)})[:-1] + ', "k19999": 1}',
    "20,000 unknown keys": json.dumps({f"k{n}": 0 for n in range(20_000)}),
    "a text of 1 MB": json.dumps({"x": "y" * 2**20}),
    "a key of 1 MB": json.dumps({"y" * 2**20: "x"}),
    "nothing but blanks": " " * 100_000,
    "depth 1,000 of objects": '{"x":' * 1_000 + "1" + "}" * 1_000,
    "depth 33": '{"x": ' + "[" * 33 + "]" * 33 + "}",
    "1e-999999999": '{"x": 1e-999999999}',
    "minus infinity by its sign": '{"x": -1e999999999999}',
    "a number with a plus": '{"x": +1}',
    "a number in hex": '{"x": 0x1F}',
    "a trailing comma": '{"x": 1,}',
    "a comment": '{"x": 1 /* y */}',
    "a raw line break in a text": '{"x": "a\nb"}',
    "a raw NUL in a text": b'{"x": "a\x00b"}',
    "NUL in a key": '{"\\u0000": 1}',
    "lone surrogate in a key": '{"\\ud800": 1}',
    "bad UTF-8": b'{"x": "\xff\xfe"}',
    "UTF-8 cut short": b'{"x": "\xf0\x9f\x92"}',
    "overlong UTF-8": b'{"x": "\xc0\xaf"}',
    "surrogates as UTF-8": b'{"x": "\xed\xa0\x80"}',
    "UTF-32": '{"x": 1}'.encode("utf-32"),
    "gzip": gzip.compress(b'{"x": 1}'),
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
    "\udc00\ud800",
    "a\x00b",
    "x" * 2**20,
    "\u202e\ufeff\u200b",
    "a\r\nSet-Cookie: a=b",
    "NaN",
    "Infinity",
    "infinity",
    "epoch",
    "now",
    "９９９",
    "١٢٣",
    "-0",
    "1e400",
    "1e-400",
    "9" * 400,
    10**399,
    1e-300,
    "2026-02-30",
    "2026-02-30T25:61:61Z",
    "0001-01-01T00:00:00+23:59",
    "2026-01-01T00:00:00+99:99",
    "00000000-0000-0000-0000-000000000000",
    "{00000000-0000-0000-0000-000000000000}",
    "../../etc/passwd",
    '=cmd|"/c calc"!A0',
    "<script>alert(1)</script>",
    "{{7*7}}{% debug %}",
    "0000-00-00",
    "9999-12-31T23:59:59-23:59",
    "%s %(company)s {0} ${x} '; --",
    [],
    [None],
    [[]],
    ["x"] * 10_000,
    [{"id": None}] * 100,
    json.loads("[" * 30 + "]" * 30),
    {},
    {"": {"": ""}},
    {"a\x00": "\ud800"},
    {f"k{number}": number for number in range(2_000)},
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
    "id__=1",
    "__in=1",
    "id__regex=.*",
    "id__iregex=(a%2B)%2B%24",
    "id__in__in=1",
    "company_id=1",
    "company.id=1",
    "owner__password=x",
    "owner.password=x",
    "_state=1",
    "pk=1",
    "custom_fields.x=1",
    "id[]=1",
    "id[$ne]=1",
    "%E2%80%AEid=1",
    "x" * 10_000 + "=1",
    "id=1;version=1",
    "id=%27%3B%20DROP%20TABLE%20core_user%3B--",
    "&".join(f"x{number}=1" for number in range(2_000)),
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
    "cursor=%00",
    "cursor=W10:1:x",
    "cursor=eyJ:eyJ:eyJ",
    "cursor=.eJw:1:x",
    "cursor=eyJ~eyJ~eyJ",
    "cursor=.eJw~x",
    "cursor=a&cursor=b",
    "cursor=x&page=1",
    "cursor=x&search=y",
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
    {"Authorization": "Bearer " + "x" * 100_000},
    {"Authorization": "Bearer \xff\xfe"},
    {"Authorization": "bearer  a"},
    {"Content-Length": "x"},
    {"Content-Length": "-1"},
    {"Content-Length": "0"},
    {"Content-Length": "1"},
    {"Content-Length": "1e3"},
    {"Content-Length": "٣"},
    {"Content-Length": "9" * 30},
    {"Content-Length": "9" * 5_000},
    {"Content-Encoding": "gzip"},
    {"Transfer-Encoding": "chunked"},
    {"Host": "evil.example"},
    {"Host": "a b\x00"},
    {"Host": "x" * 10_000},
    {"X-Forwarded-Host": "evil.example"},
    {"X-HTTP-Method-Override": "DELETE"},
    {"Cookie": "sessionid=\x00; csrftoken=" + "x" * 10_000},
    {"Range": "bytes=0-0,1-1"},
    {"If-Modified-Since": "x"},
    {"If-Match": "*"},
    {"If-Match": 'W/"1"'},
    {"If-Match": '"1'},
    {"If-Match": '"9" * 400'},
    {"If-None-Match": '"' + "x" * 10_000},
    {"Accept": "application/json;q=\x00"},
    {"Accept": "*/*;" * 1_000},
    {"Accept-Version": "\x00"},
    {"Accept-Language": "x" * 10_000},
]
PATHS = [
    "%00",
    "a%00b",
    "%0d%0aSet-Cookie:%20a=b",
    "%FF",
    "٣",
    "9" * 400,
    "{}",
    "x",
    "..",
    "%2e%2e%2f",
    "%F0%9F%92%A9",
    "%ED%A0%80",
    "0" * 36,
    "-1",
    "null",
    "x" * 5_000,
    "'",
]
CONTENT_TYPES = [
    "text/plain",
    "application/xml",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "multipart/form-data; boundary=",
    "multipart/form-data; boundary=" + "x" * 1_000,
    "multipart/form-data; boundary=\xff",
    "application/json; charset=utf-7",
    "application/json; charset=utf-16",
    "application/json; charset=no-such-charset",
    'application/json; x="',
    "application/json, text/plain",
    "application/json\r\nX: y",
    "*/*",
    "x" * 10_000,
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
    def test_takes_no_body_but_an_object(self, operation: Operation, rooms: Rooms) -> None:
        if not operation.takes_body or StrictJsonParser not in operation.view.parser_classes:
            return
        call = control(operation, rooms.acme)
        for body in ("0", "false", "null", '""', "[]"):
            answer = raw(call, rooms, body=body)
            assert (answer.status, fault(answer)) == (400, ""), body

    @every_operation()
    def test_refuses_a_body_nobody_reads(self, operation: Operation, rooms: Rooms) -> None:
        if operation.takes_body:
            return
        call = control(operation, rooms.acme)
        for body in ('{"version": 1}', "[0]", "null", "xxx", "{" * 100):
            answer = raw(call, rooms, body=body)
            assert (answer.status, fault(answer)) == (400, ""), body
            assert answer.json()["errors"][0]["code"] == "unexpected_body"
        # Clients that always send an object send an empty one.
        assert rooms.send(replace(call, body={})).ok

    @every_operation()
    def test_refuses_parameters_nobody_reads(self, operation: Operation, rooms: Rooms) -> None:
        call = control(operation, rooms.acme)
        answer = rooms.send(call.asking(nobody_reads_this="1"))
        assert (answer.status, fault(answer)) == (400, "")
        assert "nobody_reads_this" in [error["path"] for error in answer.json()["errors"]]

    @every_operation()
    def test_refuses_an_idempotency_key_nobody_keeps(self, operation: Operation, rooms: Rooms) -> None:
        offered = {"$ref": "#/components/parameters/IdempotencyKey"}
        if operation.method != "POST" or offered in (operation.documented or {}).get("parameters", ()):
            return
        answer = rooms.send(replace(control(operation, rooms.acme), headers={"Idempotency-Key": "once"}))
        assert (answer.status, answer.json()["code"]) == (400, "no_idempotency_key")

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

    @every_operation()
    def test_refuses_other_methods(self, operation: Operation, rooms: Rooms) -> None:
        call = control(operation, rooms.acme)
        for method in ("TRACE", "OPTIONS", "CONNECT", "PROPFIND", "X" * 1_000):
            answer = rooms.send(replace(call, operation=replace(operation, method=method)))
            assert (answer.status, fault(answer)) == (405, ""), method


# Of every kind of value, what the parser of a filter may stumble over.
FILTERED = [
    "x",
    "%00",
    "%ED%A0%80",
    "%FF",
    ",",
    ",,x",
    "1,2",
    "2,1",
    "null",
    "true",
    "-1",
    "99999999999999999999999999",
    "1e999",
    "NaN",
    "٣",
    "0000-00-00",
    "9999-12-31T23:59:59-23:59",
    "infinity",
    "%25_%5C",
    "(a%2B)%2B$",
    "x" * 5_000,
]


class TestFilters:
    @every_operation(lists())
    def test_take_any_operator_and_any_value(self, operation: Operation, rooms: Rooms, share: int) -> None:
        call = control(operation, rooms.acme)
        assert operation.entity is not None
        asked = [
            f"{name}{suffix}"
            for name in operation.entity.fields
            for suffix in ("", *(f"__{suffix}" for suffix in (*SUFFIXES, "isnull", "date", "regex", "x")))
        ]
        for place, name in portion(list(enumerate(asked)), operation, share):
            for value in FILTERED if share == 1 else [FILTERED[place % len(FILTERED)]]:
                answer = raw(call, rooms, query=f"{name}={value}")
                assert fault(answer) == "", f"{name}={value}"
                if name.endswith(("__regex", "__x")):
                    assert answer.status == 400, name


class TestCursors:
    @every_operation(lists())
    def test_that_were_altered_are_refused(self, operation: Operation, rooms: Rooms) -> None:
        call = control(operation, rooms.acme)
        first = rooms.send(call.asking(cursor="", page_size="1"))
        cursor = parse_qs(urlsplit(first.json()["next"] or "").query).get("cursor", [""])[0]
        if not cursor:
            return
        assert rooms.send(call.asking(cursor=cursor, page_size="1")).ok
        altered = [
            f"{cursor[:place]}{'B' if cursor[place] == 'A' else 'A'}{cursor[place + 1 :]}"
            # The last character of a signature has bits that mean nothing.
            for place in range(0, len(cursor) - 1, 5)
        ]
        head, signature = cursor.split("~")
        altered += [
            cursor[:-3],
            f"{cursor}AAAA",
            f"{head}~~{signature}",
            f"{signature}~{head}",
            head,
            f"~{signature}",
            f"{head}~x",
        ]
        for text in altered:
            answer = rooms.send(call.asking(cursor=text))
            assert (answer.status, answer.json()["errors"][0]["code"]) == (400, "bad_cursor"), text
        assert operation.entity is not None
        order = operation.entity.ordering.split(",")
        reverse = ",".join(name[1:] if name.startswith("-") else f"-{name}" for name in order)
        other = rooms.send(call.asking(cursor=cursor, ordering=reverse))
        assert (other.status, other.json()["errors"][0]["code"]) == (400, "bad_cursor")


class TestLengths:
    @pytest.mark.parametrize(
        "operation",
        [item for item in operations() if item.entity and item.action in ("create", "partial_update")],
        ids=lambda operation: operation.name,
    )
    def test_of_texts_have_an_end(self, operation: Operation, rooms: Rooms) -> None:
        call, entity = control(operation, rooms.acme), operation.entity
        assert entity is not None
        limits = {
            name: (item.max_length or MAX_LONG_TEXT)
            for name, item in entity.fields.items()
            if item.kind in (Kind.TEXT, Kind.LONG_TEXT) and not item.read_only
        }
        told = rooms.send(call.telling(**{name: "x" * (most + 1) for name, most in limits.items()}))
        if limits:
            codes = {(said["path"], said["code"]) for said in told.json()["errors"]}
            assert {(name, "too_long") for name in limits} <= codes


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

    def test_are_read_once_to_find_the_key_that_stands_twice(self) -> None:
        compared = 0

        class Key(str):
            __hash__ = str.__hash__

            def __eq__(self, other: object) -> bool:
                nonlocal compared
                compared += 1
                return str.__eq__(self, other)

        pairs = [(Key(f"k{number}"), 0) for number in range(1_000)]
        with pytest.raises(ValueError, match="occurs twice"):
            parsing._object([*pairs, (Key("k999"), 1)])
        assert compared < 5_000


class TestThisVeryCheck:
    def test_sees_a_crash(self, rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
        def crash(*arguments: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(viewsets, "read_list_query", crash)
        operation = next(item for item in operations() if item.name == "GET /roles/")
        assert "ZeroDivisionError" in fault(rooms.send(Call(operation)))
