"""One worker, one thread, four connections: the same for every contestant."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

CONNECTIONS = 4
START_SECONDS = 60


@contextmanager
def served(application: str, environ: Mapping[str, str] | None = None) -> Iterator[str]:
    """The base URL of a WSGI application under granian."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(Path(sys.executable).parent / "granian"),
        *("--interface", "wsgi", "--workers", "1", "--blocking-threads", "1", "--port", str(port)),
        *("--log-level", "warning", "--no-access-log", application),
    ]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env={**os.environ, **(environ or {})}, stdout=log, stderr=log)
        try:
            _wait(process, port, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: IO[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=START_SECONDS)
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    log.seek(0)
    raise SystemExit(f"The server did not start:\n{log.read().decode()[-4000:]}")


@dataclass(frozen=True)
class Call:
    """A request that is sent again and again."""

    url: str
    token: str = ""
    body: Mapping[str, object] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def all_headers(self) -> dict[str, str]:
        found = {"Accept": "application/json", **self.headers}
        if self.token:
            found["Authorization"] = f"Bearer {self.token}"
        if self.body is not None:
            found["Content-Type"] = "application/json"
        return found

    @property
    def payload(self) -> bytes | None:
        return None if self.body is None else json.dumps(self.body).encode()

    def once(self) -> bytes:
        """One answer, so that it can be looked at before anything is measured."""
        request = urllib.request.Request(self.url, data=self.payload, headers=self.all_headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{self.url} answers {error.code}: {error.read()[:2000]!r}") from None


def requests_per_second(call: Call, seconds: float) -> float:
    """Answers in a second, all of them good. By wrk where it is installed."""
    return _by_wrk(call, seconds) if shutil.which("wrk") else _by_ourselves(call, seconds)


def _by_wrk(call: Call, seconds: float) -> float:
    lines = [f"wrk.headers[{name!r}] = {value!r}" for name, value in call.all_headers.items()]
    if call.payload is not None:
        lines += ['wrk.method = "POST"', f"wrk.body = [==[{call.payload.decode()}]==]"]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write("\n".join(lines))
        script.flush()
        command = [
            "wrk",
            "-t1",
            f"-c{CONNECTIONS}",
            f"-d{max(1, round(seconds))}s",
            "-s",
            script.name,
            call.url,
        ]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in printed or "Socket errors" in printed:
        raise SystemExit(f"{call.url} failed under load:\n{printed}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", printed)
    assert found is not None, printed
    return float(found[1])


def _by_ourselves(call: Call, seconds: float) -> float:
    address = urlsplit(call.url)
    target = f"{address.path}?{address.query}" if address.query else address.path
    method = "GET" if call.payload is None else "POST"
    counts = [0] * CONNECTIONS
    failed: list[str] = []
    started = time.monotonic()

    def work(place: int) -> None:
        connection = HTTPConnection(address.hostname or "", address.port)
        while time.monotonic() - started < seconds and not failed:
            connection.request(method, target, call.payload, call.all_headers)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status >= 300:
                failed.append(f"{call.url} failed under load: {answer.status} {body[:500]!r}")
            counts[place] += 1

    threads = [threading.Thread(target=work, args=(place,)) for place in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise SystemExit(failed[0])
    return sum(counts) / (time.monotonic() - started)
