"""What granian serves: requests are received whole before a thread works on them, and answered by the WSGI application.

A client decides how fast its body comes, so no thread waits for one: an event loop receives it, small ones in memory and others
in an unnamed file, and gives up when it comes too slowly. Threads are taken by requests that are complete, and left with the
answer: a client takes it at its own speed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import sys
import tempfile
from collections.abc import AsyncIterable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from io import BytesIO
from typing import IO, Any, Protocol, cast

# Bodies up to this size stay in memory, and larger ones are written to the disk in portions of it.
PORTION_BYTES = 128 * 1024
# So long a file is held open for the server to open it.
_OPENED_SECONDS = 60

_log = logging.getLogger("atrium.front")

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """What a body may cost. The defaults let the slowest telephone upload the largest file.

    A body may pause for `quiet_seconds`, and has them once, plus what it takes at the lowest rate: one byte a second does not
    pass. `disk_bytes` are the bodies of one process together.
    """

    quiet_seconds: float = 20
    bytes_per_second: int = 16 * 1024
    # The largest upload, and what is around it.
    most_bytes: int = 520 * 1024 * 1024
    disk_bytes: int = 8 * 1024 * 1024 * 1024


class _Exchange(Protocol):
    """A request's body and its answer, as granian's RSGI interface has them. Answers may come from any thread."""

    def __aiter__(self) -> Any: ...
    def response_empty(self, status: int, headers: Headers) -> None: ...
    def response_bytes(self, status: int, headers: Headers, body: bytes) -> None: ...
    def response_file(self, status: int, headers: Headers, file: str) -> None: ...


class _Refused(Exception):
    """The body is not received any further."""

    def __init__(self, status: HTTPStatus, code: str, detail: str, *headers: tuple[str, str]) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.headers = status, code, detail, headers


class _Gone(Exception):
    """The client went away before its body was complete."""


class Front:
    """A WSGI application behind an event loop that receives bodies. `threads` requests are worked on at once."""

    def __init__(
        self,
        application: Callable[..., Iterable[bytes]],
        *,
        threads: int = 8,
        limits: BodyLimits | None = None,
    ) -> None:
        self._application = application
        self._limits = limits or BodyLimits()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="request")
        # Bodies are written by a thread of their own: neither the loop nor a request waits for the disk.
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="bodies")
        self._on_disk = 0

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # Every waiting client holds a file descriptor, and the usual soft limit is 1,024.
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    async def __rsgi__(self, scope: Any, exchange: _Exchange) -> None:
        loop = asyncio.get_running_loop()
        environ = _environ(scope)
        length = environ.get("CONTENT_LENGTH", "")
        if not length or length == "0":
            # A body without a length is not read at all; the application refuses it where it needs one.
            environ["wsgi.input"] = BytesIO()
            await loop.run_in_executor(self._threads, self._answer, environ, exchange, loop)
            return
        held = _Held()
        try:
            await self._receive(exchange, int(length), held)
            held.file.seek(0)
            environ["wsgi.input"] = held.file
            await loop.run_in_executor(self._threads, self._answer, environ, exchange, loop)
        except _Refused as refused:
            _log.warning("%s %s: %s", scope.method, environ["PATH_INFO"], refused.detail)
            _refuse(exchange, refused)
        except _Gone:
            _refuse(
                exchange, _Refused(HTTPStatus.BAD_REQUEST, "incomplete_body", "The body is not complete.")
            )
        finally:
            self._on_disk -= held.on_disk
            held.file.close()

    async def _receive(self, body: AsyncIterable[bytes], length: int, held: _Held) -> None:
        """The whole body into the file of `held`. Raises: _Refused, _Gone."""
        limits = self._limits
        if length > limits.most_bytes:
            raise _Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "body_too_large",
                f"A body may have {limits.most_bytes} bytes.",
            )
        clock = asyncio.get_running_loop().time
        started = clock()
        received = 0
        portion = bytearray()
        try:
            async with asyncio.timeout_at(started + limits.quiet_seconds) as deadline:
                async for chunk in body:
                    received += len(chunk)
                    portion += chunk
                    if received >= length:
                        break
                    if len(portion) > PORTION_BYTES:
                        await self._write(portion, held)
                        portion = bytearray()
                    slowest = started + limits.quiet_seconds + received / limits.bytes_per_second
                    deadline.reschedule(min(clock() + limits.quiet_seconds, slowest))
        except TimeoutError:
            raise _Refused(
                HTTPStatus.REQUEST_TIMEOUT, "body_too_slow", "The body did not come in time."
            ) from None
        if received < length:
            raise _Gone
        if held.on_disk:
            await self._write(portion, held)
        else:
            held.file = BytesIO(portion)

    async def _write(self, portion: bytearray, held: _Held) -> None:
        try:
            if not held.on_disk:
                held.file = cast(IO[bytes], tempfile.TemporaryFile())  # noqa: SIM115 - closed with the request
            held.on_disk += len(portion)
            self._on_disk += len(portion)
            if self._on_disk > self._limits.disk_bytes:
                raise _Refused(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    "busy",
                    "Too many uploads at once; try again.",
                    ("retry-after", "30"),
                )
            await asyncio.get_running_loop().run_in_executor(self._disk, held.file.write, portion)
        except OSError as failure:
            raise _Refused(
                HTTPStatus.INSUFFICIENT_STORAGE, "no_space", f"The body cannot be kept: {failure.strerror}."
            ) from None

    # In a thread --------------------------------------------------------------------------------------

    def _answer(self, environ: dict[str, Any], exchange: _Exchange, loop: asyncio.AbstractEventLoop) -> None:
        status, headers = 500, cast(Headers, [])

        def start_response(line: str, given: Headers, _failure: object = None) -> None:
            nonlocal status, headers
            status, headers = int(line[:3]), given

        try:
            answer = self._application(environ, start_response)
        except Exception:
            _log.exception("The application failed")
            exchange.response_empty(500, [])
            return
        try:
            if environ["REQUEST_METHOD"] == "HEAD":
                exchange.response_empty(status, headers)
            elif getattr(answer, "streaming", not isinstance(answer, list)):
                self._send_stream(answer, status, headers, exchange, loop)
            else:
                exchange.response_bytes(status, headers, b"".join(answer))
        except Exception:
            _log.exception("The answer failed")
            exchange.response_empty(500, [])
        finally:
            close = getattr(answer, "close", None)
            if close is not None:
                close()

    def _send_stream(
        self,
        answer: Iterable[bytes],
        status: int,
        headers: Headers,
        exchange: _Exchange,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """granian keeps in memory what a client has not taken yet, unless it comes out of a file: so it does."""
        with tempfile.SpooledTemporaryFile(PORTION_BYTES) as file:
            for chunk in answer:
                file.write(chunk)
            size = file.tell()
            file.seek(0)
            if size <= PORTION_BYTES:
                exchange.response_bytes(status, headers, file.read())
                return
            kept = os.dup(file.fileno())
            file.flush()
        if not any(name.lower() == "content-length" for name, _ in headers):
            headers = [*headers, ("Content-Length", str(size))]
        # The file has no name; the server opens it anew, in a moment.
        exchange.response_file(status, headers, f"/dev/fd/{kept}")
        loop.call_soon_threadsafe(loop.call_later, _OPENED_SECONDS, os.close, kept)


class _Held:
    """A body on its way."""

    __slots__ = ("file", "on_disk")

    def __init__(self) -> None:
        self.file: IO[bytes] = BytesIO()
        self.on_disk = 0


def _refuse(exchange: _Exchange, refused: _Refused) -> None:
    """The problem document that the API would make. What is still unread of the body ends the connection."""
    problem = {
        "type": "about:blank",
        "title": refused.status.phrase,
        "status": refused.status.value,
        "code": refused.code,
        "detail": refused.detail,
    }
    headers = [("content-type", "application/problem+json"), ("connection", "close"), *refused.headers]
    exchange.response_bytes(refused.status.value, headers, json.dumps(problem).encode())


_BASE: dict[str, Any] = {
    "SCRIPT_NAME": "",
    "SERVER_SOFTWARE": "granian",
    "wsgi.version": (1, 0),
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
}


def _environ(scope: Any) -> dict[str, Any]:
    """The request as PEP 3333 says it, but for its body."""
    server, _, port = scope.server.rpartition(":")
    environ = {
        **_BASE,
        "REQUEST_METHOD": scope.method,
        # Paths are decoded; WSGI wants their bytes.
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": server or scope.server,
        "SERVER_PORT": port or "80",
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": scope.client.rpartition(":")[0] or scope.client,
        "wsgi.url_scheme": scope.scheme,
    }
    if scope.authority:
        environ["HTTP_HOST"] = scope.authority
    for name, value in scope.headers.items():
        key = _variable(name)
        if not key:
            continue
        if key in environ and key != "HTTP_HOST":
            value = f"{environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{value}"
        environ[key] = value
    if "HTTP_TRANSFER_ENCODING" in environ:
        # It would be another length than the one that is said.
        environ.pop("CONTENT_LENGTH", None)
    return environ


@lru_cache(maxsize=512)
def _variable(header: str) -> str:
    """The name of a header in the environment. One with an underscore would pass for another, which a proxy may have set."""
    if "_" in header:
        return ""
    name = header.upper().replace("-", "_")
    return name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"
