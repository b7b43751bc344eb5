"""Requests are received whole before a thread works on them: who sends slowly keeps nobody else waiting."""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from config.home import PROJECT_DIR
from tests.core.jobs.conftest import child_environment
from tests.ground.serving import peak_memory, served
from tests.worlds import make_world

QUIET_SECONDS = 8

APPLICATION = """
import hashlib, json, time
from config.front import BodyLimits, Front

seen = []

def wsgi(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/fail":
        raise RuntimeError("on purpose")
    if path == "/broken":
        start_response("200 OK", [])
        return (1 / 0 for _ in range(1))
    if path == "/large":
        start_response("200 OK", [("Content-Length", str(256 << 20))])
        return (bytes(1 << 20) for _ in range(256))
    body = environ["wsgi.input"].read()
    if path == "/seen":
        body = b""
    else:
        seen.append(path)
    said = {name: value for name, value in environ.items() if isinstance(value, str)}
    text = json.dumps(
        {"environ": said, "size": len(body), "sha256": hashlib.sha256(body).hexdigest(), "seen": seen}
    ).encode()
    start_response("201 Created", [("Content-Type", "application/json")])
    return [text]

limits = BodyLimits(quiet_seconds=1, bytes_per_second=1 << 16, most_bytes=100 << 20, disk_bytes=80 << 20)
application = Front(wsgi, threads=2, limits=limits)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """A small application with two threads; bodies may pause for a second."""
    folder = tmp_path_factory.mktemp("front")
    (folder / "small.py").write_text(APPLICATION)
    with (folder / "log").open("wb") as log:
        environ = {"PYTHONPATH": f"{folder}:{PROJECT_DIR}"}
        with served("small:application", log, environ) as (port, pid):
            yield port, pid


@pytest.fixture
def port(server: tuple[int, int]) -> int:
    return server[0]


def ask(
    port: int, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, Any, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    is_json = "json" in answer.headers.get("Content-Type", "")
    return answer.status, json.loads(text) if is_json else text, answer.headers


def begin(port: int, length: int, sent: bytes = b"", path: str = "/begun") -> socket.socket:
    """A request whose body is announced and not sent."""
    client = socket.create_connection(("127.0.0.1", port), timeout=60)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    client.sendall(head.encode() + sent)
    return client


def rest(client: socket.socket) -> bytes:
    """All that comes until the server closes."""
    found = b""
    while chunk := client.recv(65_536):
        found += chunk
    return found


def seen(port: int) -> list[str]:
    found: list[str] = ask(port, "GET", "/seen")[1]["seen"]
    return found


class TestBodies:
    def test_that_do_not_come_are_answered_with_408_and_the_connection_is_closed(self, port: int) -> None:
        started = time.monotonic()
        answer = rest(begin(port, 100, b"abc", path="/silent"))
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"code": "body_too_slow"' in answer
        assert time.monotonic() - started < 10
        assert "/silent" not in seen(port)

    def test_that_come_byte_by_byte_are_answered_with_408(self, port: int) -> None:
        client = begin(port, 1_000_000, path="/drops")
        client.settimeout(0.2)
        answer = b""
        deadline = time.monotonic() + 20
        while not answer and time.monotonic() < deadline:
            client.sendall(b"x")
            try:
                answer = client.recv(65_536)
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert "/drops" not in seen(port)

    def test_of_clients_that_left_never_reach_the_application(self, port: int) -> None:
        for length in (100, 1_000_000):
            begin(port, length, b"x" * 50, path="/left").close()
        time.sleep(0.5)
        assert "/left" not in seen(port)

    def test_may_pause_and_come_slowly_enough(self, port: int) -> None:
        client = begin(port, 600_000, path="/slowly")
        for _ in range(6):
            client.sendall(bytes(100_000))
            time.sleep(0.4)
        client.settimeout(10)
        assert client.recv(20).startswith(b"HTTP/1.1 201 ")

    @pytest.mark.parametrize("size", [0, 1, 131_072, 131_073, 1_000_000])
    def test_of_every_size_arrive_as_they_were_sent(self, port: int, size: int) -> None:
        body = (b"%d" % size) * size
        body = body[:size]
        status, found, _ = ask(port, "POST", "/whole", body)
        assert status == 201
        assert (found["size"], found["sha256"]) == (size, hashlib.sha256(body).hexdigest())

    def test_of_uploads_stay_out_of_memory(self, server: tuple[int, int]) -> None:
        port, group = server
        before = peak_memory(group)
        client = begin(port, 60 << 20, path="/stored")
        for _ in range(59):
            client.sendall(bytes(1 << 20))
        # All but the last portion is received and no thread has seen it.
        time.sleep(0.3)
        assert peak_memory(group) - before < 16 << 20
        client.close()

    def test_leave_the_connection_open_for_the_next_request(self, port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.connect()
        client = connection.sock
        for size in (10, 500_000, 10):
            connection.request("POST", "/again", bytes(size))
            assert connection.getresponse().read()
            assert connection.sock is client
        connection.close()

    def test_above_the_limit_are_refused_before_they_come(self, port: int) -> None:
        answer = rest(begin(port, (100 << 20) + 1))
        assert answer.startswith(b"HTTP/1.1 413 ")

    def test_together_fill_no_disk(self, port: int) -> None:
        first = begin(port, 70 << 20)
        first.sendall(bytes(69 << 20))
        second = begin(port, 30 << 20)
        with suppress(ConnectionError):
            second.sendall(bytes(29 << 20))
        answer = second.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 30" in answer
        first.close()
        time.sleep(0.3)
        assert ask(port, "POST", "/third", bytes(30 << 20))[0] == 201

    def test_without_a_length_are_not_read(self, port: int) -> None:
        status, found, _ = ask(port, "POST", "/chunked", iter([b"abc"]), {"Transfer-Encoding": "chunked"})
        assert (status, found["size"]) == (201, 0)
        assert "CONTENT_LENGTH" not in found["environ"]


class TestRequests:
    def test_are_told_as_they_were_sent(self, port: int) -> None:
        headers = {"X-One": "1", "X_One": "forged", "Cookie": "a=1"}
        _, found, _ = ask(port, "POST", "/caf%C3%A9%2F/?q=%41&x", b"{}", {**headers, "Content-Type": "a/b"})
        environ = found["environ"]
        assert environ["PATH_INFO"].encode("latin-1").decode() == "/café//"
        assert environ["QUERY_STRING"] == "q=%41&x"
        assert environ["REQUEST_METHOD"] == "POST"
        assert environ["HTTP_X_ONE"] == "1"
        assert environ["HTTP_HOST"] == f"127.0.0.1:{port}"
        assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"]) == ("a/b", "2")
        assert environ["REMOTE_ADDR"] == "127.0.0.1"
        assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"

    def test_that_fail_are_500_and_the_thread_lives_on(self, port: int) -> None:
        assert [ask(port, "GET", path)[0] for path in ("/fail", "/broken") * 2] == [500] * 4
        assert ask(port, "GET", "/fine")[0] == 201


class TestAnswers:
    def test_are_streamed_without_being_held(self, server: tuple[int, int]) -> None:
        port, group = server
        before = peak_memory(group)
        status, content, _ = ask(port, "GET", "/large")
        assert (status, len(content)) == (200, 256 << 20)
        assert peak_memory(group) - before < 64 << 20

    def test_that_nobody_takes_hold_no_thread(self, port: int) -> None:
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(4)]
        for client in idle:
            client.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert ask(port, "GET", "/fine")[0] == 201
        for client in idle:
            client.close()

    def test_to_head_have_no_body(self, port: int) -> None:
        status, content, headers = ask(port, "HEAD", "/large")
        assert (status, content, headers["Content-Length"]) == (200, b"", str(256 << 20))


class TestTheWholeSystem:
    @pytest.mark.long
    def test_stays_quick_while_500_bodies_do_not_come(self, transactional_db: None, tmp_path: Path) -> None:
        token = make_world("acme").token()
        environ = child_environment(BODY_QUIET_SECONDS=str(QUIET_SECONDS), DJANGO_ALLOW_ASYNC_UNSAFE="")
        slow: list[socket.socket] = []
        with (
            (tmp_path / "log").open("wb") as log,
            served("config.rsgi:application", log, environ) as (port, _),
        ):
            headers = {"Host": "localhost", "Authorization": f"Bearer {token}"}

            def seconds(path: str) -> float:
                started = time.monotonic()
                status, said, _ = ask(port, "GET", path, None, headers)
                assert status == 200, said
                return time.monotonic() - started

            paths = ["/api/v1/monitoring/health/?live=1", "/api/v1/contacts/"]
            for path in paths:
                seconds(path)
            started = time.monotonic()
            silent = [begin(port, 100, path="/api/v1/auth/login/") for _ in range(450)]
            slow = [begin(port, 10_000_000, path="/api/v1/imports/") for _ in range(50)]
            took = []
            while time.monotonic() - started < QUIET_SECONDS - 1:
                for client in slow:
                    client.sendall(b"x")
                took += [seconds(path) for path in paths]
                time.sleep(0.5)
            assert took
            assert max(took) < 1
            for client in (*silent, *slow):
                answer = rest(client)
                assert answer.startswith(b"HTTP/1.1 408 "), answer
                client.close()
            assert time.monotonic() - started < 4 * QUIET_SECONDS
