"""What was asked of the API and what it answered, on disk before and after each request.

A client that does not know how a request ended sends it again under the same key until it does. So at the end every line
has an answer, and the database can be held against it.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import random
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# A client that is told to wait does so, but not for the whole of a short run.
LONGEST_WAIT = 1.0
GIVE_UP_AFTER = 60


@dataclass(frozen=True)
class Answer:
    """One answer of the API, or none: `status` 0 and what went wrong with the connection."""

    at: float
    method: str
    path: str
    status: int
    seconds: float
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    lost: str = ""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def is_definite(self) -> bool:
        """Whether the client knows how the request ended."""
        if self.status == 0 or self.status >= 500 or self.status == 429:
            return False
        return not (self.status == 409 and self.json.get("code") == "busy")

    @property
    def is_allowed(self) -> bool:
        """Of errors of the server only one is: 503 as a problem document that says when to come again."""
        if self.status < 500:
            return True
        return (
            self.status == 503
            and self.headers.get("content-type", "").startswith("application/problem+json")
            and "retry-after" in self.headers
        )


class Witness:
    """Every answer that any client got, in the order of arrival."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.faults: list[tuple[float, str]] = []
        self._lock = threading.Lock()

    def saw(self, answer: Answer) -> None:
        with self._lock:
            self.answers.append(answer)

    def fault(self, name: str) -> None:
        """Note that something is being broken now."""
        with self._lock:
            self.faults.append((time.monotonic(), name))


class Api:
    """One client: one connection, kept open, one token."""

    def __init__(self, port: int, token: str, witness: Witness, scheme: str = "Bearer") -> None:
        self._port, self._witness = port, witness
        self._authorization = f"{scheme} {token}"
        self._connection: http.client.HTTPConnection | None = None

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str = "",
        content_type: str = "application/json",
    ) -> Answer:
        """One try. Never raises: a lost connection is an answer too."""
        headers = {"Authorization": self._authorization, "Content-Type": content_type}
        if key:
            headers["Idempotency-Key"] = key
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        started = time.monotonic()
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
            self._connection.request(method, f"/api/v1/{path}", data, headers)
            got = self._connection.getresponse()
            content = got.read()
            answer = Answer(
                time.monotonic(),
                method,
                path,
                got.status,
                time.monotonic() - started,
                {name.lower(): value for name, value in got.getheaders()},
                content,
            )
            if got.will_close:
                self.close()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            now = time.monotonic()
            answer = Answer(now, method, path, 0, now - started, lost=type(error).__name__)
        self._witness.saw(answer)
        return answer

    def definite(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        """Send again until it is known how the request ended. Raises: TimeoutError."""
        deadline = time.monotonic() + GIVE_UP_AFTER
        while not (answer := self.send(method, path, body, **options)).is_definite:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{method} {path} has no definite answer: {answer}")
            wait = float(answer.headers.get("retry-after", 0.05))
            time.sleep(min(wait, LONGEST_WAIT))
        return answer

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Ledger:
    """An append-only file: an intent before each request, an answer after it, each durable before the next step."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab")
        self._lock = threading.Lock()

    def intend(self, key: str) -> None:
        self._write({"intent": key})

    def acknowledge(self, key: str, answer: Answer) -> None:
        digest = hashlib.sha256(answer.body).hexdigest()
        made = answer.json["id"] if answer.status == 201 else None
        self._write({"answer": key, "status": answer.status, "id": made, "digest": digest})

    def _write(self, line: dict[str, Any]) -> None:
        with self._lock:
            self._file.write(json.dumps(line).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def lines(self) -> Iterator[dict[str, Any]]:
        with self.path.open("rb") as file:
            for line in file:
                yield json.loads(line)


class Writer(threading.Thread):
    """Makes accounts, some of which the API must refuse, until told to stop; sometimes repeats an answered request."""

    REFUSED, REPEATED = 0.1, 0.1

    def __init__(self, name: str, api: Api, ledger: Ledger, seed: int) -> None:
        super().__init__(name=name, daemon=True)
        self._api, self._ledger, self._random = api, ledger, random.Random(seed)
        self._stopped = threading.Event()
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            number = 0
            while not self._stopped.is_set():
                number += 1
                self._write(f"{self.name}-{number}")
        except Exception as error:
            self.error = error

    def stop(self) -> None:
        """End after the request under way. Raises what the thread ended with."""
        self._stopped.set()
        self.join(GIVE_UP_AFTER + 30)
        if self.error is not None:
            raise self.error

    def _write(self, key: str) -> None:
        staff = "many" if self._random.random() < self.REFUSED else len(key)
        body = {"name": key, "number_of_employees": staff}
        self._ledger.intend(key)
        answer = self._api.definite("POST", "accounts/", body, key=key)
        self._ledger.acknowledge(key, answer)
        if answer.status == 201 and self._random.random() < self.REPEATED:
            self._ledger.acknowledge(key, self._api.definite("POST", "accounts/", body, key=key))
