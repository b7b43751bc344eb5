"""Waits for the end of a chaos run, however it ends, then kills and removes everything the run has started.

`python -m tests.chaos.janitor <folder of the run>`: the run holds the other end of our standard input, and only its death (or its
regular end) closes that. Processes are known by the files `pids/<name>`, each with the id and the start time of a session's
leader, so that a reused id is never killed.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path

from config.embedded import EmbeddedServers


def start_time(pid: int) -> str:
    """When the kernel started this process; empty when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def note(home: Path, name: str, pid: int) -> None:
    """Have the process and its whole session ended with the run."""
    folder = home / "pids"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"{pid} {start_time(pid)}")


def kill_session(pid: int) -> None:
    """Kill the processes of the group that `pid` leads."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def kill_all(pids: set[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def redis_of(servers: EmbeddedServers) -> set[int]:
    """The Redis of this home folder, also when it does not answer."""
    mark = str(servers.home.redis_socket).encode()
    return {
        int(folder.name)
        for folder in Path("/proc").glob("[0-9]*")
        if (command := _command(folder))
        and (b"valkey-server" in command or b"redis-server" in command)
        and mark in command
    }


def _command(folder: Path) -> bytes:
    try:
        return (folder / "cmdline").read_bytes()
    except OSError:
        return b""


def clean(base: Path) -> None:
    """Kill what the run has noted, the servers of its home folder, and remove the folder."""
    home = base / "home"
    for file in sorted((home / "pids").glob("*")):
        pid, _, started = file.read_text().partition(" ")
        if started and start_time(int(pid)) == started:
            kill_session(int(pid))
    servers = EmbeddedServers(home)
    deadline = time.monotonic() + 20
    while (left := servers._postgres_processes() | redis_of(servers)) and time.monotonic() < deadline:
        kill_all(left)
        time.sleep(0.05)
    for folder in (servers.home.sockets, servers.home.servers, base):
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    clean(Path(sys.argv[1]))
