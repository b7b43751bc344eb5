"""One whole system of its own for a chaos run: real servers and processes, each of which may be killed at any time."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from config.embedded import LOGIN, OWNER, EmbeddedServers
from config.home import PROJECT_DIR
from tests.chaos import janitor

PATIENCE = 300
# Started again when they end by themselves, as a supervisor does: granian gives up when a worker dies twice within seconds.
SUPERVISED = ("web",)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, condition: Callable[[], object], seconds: float = PATIENCE) -> float:
    """Wait until the condition holds; returns after how many seconds. Raises: TimeoutError naming `what`."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.05)
    return time.monotonic() - started


def pace() -> float:
    """How much longer than its computing a process takes now: 1 on a quiet machine, more where others compute too.

    What is promised in seconds is promised on a quiet machine.
    """
    before, started = os.times(), time.monotonic()
    subprocess.run([sys.executable, "-c", "import decimal, json, email.message, http.client"], check=True)
    after = os.times()
    computing = after.children_user + after.children_system - before.children_user - before.children_system
    return max(1.0, (time.monotonic() - started) / max(computing, 0.01))


def children_of(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


class Machine:
    """The servers and processes of one home folder. Faults are methods; each takes effect before it returns."""

    def __init__(self, environment: dict[str, str]) -> None:
        # Passable by the account that runs PostgreSQL, and short enough for its socket.
        self.base = Path(tempfile.mkdtemp(prefix="chaos"))
        self.base.chmod(0o755)
        self.home = self.base / "home"
        self.home.mkdir()
        self.servers = EmbeddedServers(self.home)
        self.port = free_port()
        self.plan = self.home / "plan"
        self.plan.touch()
        self.environment = {
            **os.environ,
            "CRM_HOME": str(self.home),
            "DJANGO_SETTINGS_MODULE": "config.settings.local",
            # Named, so that no process starts a server by itself: when they come back is the run's decision.
            "DATABASE_URL": f"postgresql://{LOGIN}@/crm?host={self.servers.home.sockets}",
            "MIGRATE_DATABASE_URL": f"postgresql://{OWNER}@/crm?host={self.servers.home.sockets}",
            "REDIS_URL": f"unix://{self.servers.home.redis_socket}?db=0",
            "CRM_FAULT_PLAN": str(self.plan),
            "LOG_LEVEL": "WARNING",
            "LOG_FORMAT": "json",
            "PYTHONPATH": str(PROJECT_DIR),
            "PYTHONUNBUFFERED": "1",
            **environment,
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._commands: dict[str, tuple[str, ...]] = {}
        self._closing = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)
        self._supervisor.start()
        self._janitor = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.janitor", str(self.base)],
            cwd=PROJECT_DIR,
            env=self.environment,
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def close(self) -> None:
        """End everything and wait until nothing of it is left."""
        self._closing.set()
        self._supervisor.join()
        assert self._janitor.stdin is not None
        self._janitor.stdin.close()
        self._janitor.wait(timeout=PATIENCE)
        for process in self._processes.values():
            process.wait(timeout=PATIENCE)

    # --- servers -----------------------------------------------------------------------------------------------------

    def start_servers(self) -> None:
        self.servers.ensure_secrets()
        self.servers.ensure_postgres()
        self.servers.ensure_redis()

    def superuser(self, **options: object) -> psycopg.Connection:
        """A connection that no row-level security narrows."""
        return psycopg.connect(f"host={self.servers.home.sockets} user={OWNER} dbname=crm", **options)  # type: ignore[arg-type]

    def kill_postgres(self, *, down: float = 0) -> None:
        """Kill the server with all its processes; bring it back after `down` seconds."""
        janitor.kill_all(self.servers._postgres_processes())
        time.sleep(down)
        self.servers.ensure_postgres()

    def kill_backend(self) -> None:
        """Kill one session's process: the server drops all of them and recovers by itself."""
        with self.superuser() as connection:
            found = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname = 'crm' "
                "AND pid <> pg_backend_pid() ORDER BY state = 'idle', random() LIMIT 1"
            ).fetchone()
        # It may have ended by itself meanwhile.
        with contextlib.suppress(ProcessLookupError):
            if found:
                os.kill(found[0], signal.SIGKILL)
        self.servers.ensure_postgres()

    def end_redis(self) -> None:
        """Kill Redis, and with it all it knows."""
        janitor.kill_all(janitor.redis_of(self.servers))
        wait_for("Redis ends", lambda: not janitor.redis_of(self.servers))
        shutil.rmtree(self.servers.home.servers / "redis", ignore_errors=True)

    def kill_redis(self, *, down: float = 0) -> None:
        """Kill Redis; it comes back empty after `down` seconds."""
        self.end_redis()
        time.sleep(down)
        self.servers.ensure_redis()

    # --- processes ---------------------------------------------------------------------------------------------------

    def start(self, name: str, *command: str) -> None:
        """Run a Python module as a process in a session of its own; its output is kept in `logs/<name>.log`."""
        self._commands[name] = command
        logs = self.home / "logs"
        logs.mkdir(exist_ok=True)
        with (logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=PROJECT_DIR,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes[name] = process
        janitor.note(self.home, name, process.pid)

    def start_web(self) -> None:
        self.start(
            "web",
            *("granian", "--interface", "rsgi", "--no-ws", "--host", "127.0.0.1", "--port", str(self.port)),
            *(
                "--workers",
                "2",
                "--respawn-failed-workers",
                "--respawn-interval",
                "0.5",
            ),
            *("--workers-kill-timeout", "3", "tests.chaos.wsgi:application"),
        )

    def start_worker(self) -> None:
        self.start(
            "worker",
            *(
                "celery",
                "--app",
                "tests.chaos.celery_app",
                "worker",
                "--pool",
                "prefork",
                "--concurrency",
                "2",
            ),
            *("--without-gossip", "--without-mingle", "--loglevel", "WARNING"),
        )

    def start_beat(self, name: str = "beat") -> None:
        self.start(
            name,
            "celery",
            "--app",
            "tests.chaos.celery_app",
            "beat",
            "--pidfile",
            "",
            "--loglevel",
            "WARNING",
        )

    def kill(self, name: str) -> None:
        """Kill the process with its whole session."""
        janitor.kill_session(self._processes[name].pid)
        self._processes[name].wait(timeout=10)

    def restart(self, name: str) -> None:
        """Kill the process and start it again."""
        self.kill(name)
        self.start(name, *self._commands[name])

    def _supervise(self) -> None:
        while not self._closing.wait(0.2):
            for name in SUPERVISED:
                if name in self._processes and self._processes[name].poll() is not None:
                    self.restart(name)

    def kill_child(self, name: str, number: int) -> bool:
        """Kill one of the processes that this one has started; false when there is none."""
        found = children_of(self._processes[name].pid)
        if found:
            janitor.kill_all({found[number % len(found)]})
        return bool(found)

    def refuse_dead(self) -> None:
        """Raises: RuntimeError when a process ended that nobody killed."""
        for name, process in self._processes.items():
            if name not in SUPERVISED and process.poll() not in (None, -signal.SIGKILL):
                log = self.home / "logs" / f"{name}.log"
                raise RuntimeError(f"{name} ended by itself:\n{log.read_text(errors='replace')[-3_000:]}")


@contextmanager
def machine(**environment: str) -> Iterator[Machine]:
    """A machine that is gone afterwards, also when this process dies meanwhile."""
    made = Machine(environment)
    try:
        yield made
    finally:
        made.close()
