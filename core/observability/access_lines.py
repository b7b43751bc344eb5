"""Access lines, written in batches a moment later: no request waits until its own is made and written, and many behind one
another cost less than each by itself.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from multiprocessing.util import Finalize
from threading import Event, Lock, Thread

import structlog

# How long lines are gathered.
SECONDS = 0.05
_log = structlog.get_logger("atrium.http")


class AccessLines:
    """The lines of one process, in the order in which they were given. Threads may share it.

    A process that ends by itself writes them all; one that is killed loses those of the last `SECONDS`.
    """

    def __init__(self) -> None:
        self._start_anew()
        # The threads of a process are not those of its children.
        os.register_at_fork(after_in_child=self._start_anew)

    def _start_anew(self) -> None:
        self._waiting: deque[tuple[float, Mapping[str, object]]] = deque()
        self._is_any = Event()
        self._writing = Lock()
        self._writer: Thread | None = None

    def add(self, fields: Mapping[str, object]) -> None:
        """Write a line that says this, as of now. Nobody changes it any more."""
        self._waiting.append((time.time(), fields))
        if not self._is_any.is_set():
            self._is_any.set()
            if self._writer is None:
                self._begin()

    def flush(self) -> None:
        """Write what waits."""
        with self._writing:
            while self._waiting:
                at, fields = self._waiting.popleft()
                timestamp = datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
                _log.info("request", timestamp=timestamp, **fields)

    def _begin(self) -> None:
        with self._writing:
            if self._writer is None:
                self._writer = Thread(target=self._write, name="access-lines", daemon=True)
                self._writer.start()
                # The standard library's `atexit`, heard also at the end of workers that a server has forked.
                Finalize(None, self.flush, exitpriority=0)

    def _write(self) -> None:
        while self._is_any.wait():
            time.sleep(SECONDS)
            # Before the lines are taken, so that one that comes meanwhile is not left waiting.
            self._is_any.clear()
            self.flush()


access_lines = AccessLines()
