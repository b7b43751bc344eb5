"""A real server under granian, on the loopback address, for as long as a test takes."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from config.home import PROJECT_DIR

START_SECONDS = 120


@contextmanager
def served(
    application: str, log: IO[bytes], environ: Mapping[str, str] | None = None
) -> Iterator[tuple[int, int]]:
    """The port and the main process's id, as the ways to start the system start it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "granian", "--interface", "rsgi", "--no-ws", "--port", str(port)),
            *(
                "--backpressure",
                "4096",
                "--http1-header-read-timeout",
                "10000",
                "--workers-kill-timeout",
                "3",
            ),
            application,
        ],
        cwd=PROJECT_DIR,
        env={**os.environ, **(environ or {})},
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        _wait(port)
        yield port, process.pid
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
            return
        except OSError:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.1)
        finally:
            connection.close()


def peak_memory(group: int) -> int:
    """Bytes that the largest process of the group has ever had resident."""
    most = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(folder.name)) != group:
                continue
            lines = (folder / "status").read_text().splitlines()
        except OSError:
            continue
        most = max(most, *(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)
    return most
