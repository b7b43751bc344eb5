"""Everything on one machine under one command, and nothing of it left behind afterwards."""

import ctypes
import fcntl
import http.client
import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any, NoReturn

from django.conf import settings
from django.core.management import CommandError, call_command, get_commands
from django.db import connections
from rich.console import Console
from rich.status import Status

from config import embedded
from config.home import PROJECT_DIR

_READY_SECONDS = 60
_STOP_SECONDS = 10
# How often the embedded servers are asked whether they live.
_SERVERS_SECONDS = 2
# So long a server may fail to come back, however often it dies while it recovers.
_RECOVERY_SECONDS = 300
# A part that ends twice within this time cannot run here.
_CALM_SECONDS = 60
_TAIL_LINES = 25
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux's prctl


class _StopRequested(BaseException):
    """Ctrl-C or a request to terminate."""


class StartFailed(Exception):
    """Something did not start or died; the text is meant for the person at the terminal."""


@dataclass
class _Child:
    name: str
    command: tuple[str, ...]
    process: subprocess.Popen[bytes]
    log: Path
    # When it was started again after it had ended by itself.
    revived_at: float = float("-inf")


class Supervisor:
    """Starts the embedded servers, migrates, seeds, then runs web, worker and beat until one of them will not stay.

    The children die with this process whatever ends it. PostgreSQL and Redis outlive a sudden end, so that
    no data is at risk, and are found again by the next start.
    """

    def __init__(self, *, host: str, port: int, demo: bool) -> None:
        self.host = host
        self.port = port
        self.demo = demo
        self._servers = embedded.for_settings(settings.SETTINGS_MODULE)
        self._children: list[_Child] = []
        self._console = Console(highlight=False, soft_wrap=True)
        # Since when the embedded servers could not be started.
        self._failing_since: float | None = None

    def run(self) -> int:
        """Run until stopped. Returns the exit code: 0 when asked to stop, 1 when something failed."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _request_stop)
        home = self._servers.home
        home.logs.mkdir(parents=True, exist_ok=True)
        # Lines name people and what they do, which no other account of the machine is to read.
        home.logs.chmod(0o700)
        with (home.root / "up.lock").open("a+") as lock:
            if not _take(lock):
                self._console.print(f"Already running with the home folder {home.root}; stop that one first.")
                return 1
            try:
                self._start()
                self._watch()
            except _StopRequested:
                self._console.print("\nStopping…")
                return 0
            except (StartFailed, embedded.EmbeddedServerError, CommandError) as failure:
                self._console.print(str(failure), style="red", markup=False)
                return 1
            finally:
                self._stop()

    # Starting -----------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._refuse_used_port()
        self._step("Secrets", self._servers.ensure_secrets)
        if settings.EMBEDDED:
            self._step("PostgreSQL", self._servers.ensure_postgres)
        if not os.environ.get("REDIS_URL"):
            self._step("Redis", self._servers.ensure_redis)
        self._command("Migrations", "migrate", interactive=False)
        self._command("Assets", "build_assets")
        sign_in = "manage.py create_company makes a company and its first account."
        if self.demo and "seed_demo" in get_commands():
            sign_in = self._command("Demo company", "seed_demo")
        connections.close_all()
        self._start_web()
        self._start_worker()
        self._start_beat()
        self._wait("web", lambda _log: self._web_answers())
        self._wait("worker", lambda log: " ready." in log)
        self._wait("beat", lambda log: "beat: Starting..." in log)
        url = f"http://{self.host}:{self.port}"
        self._console.print(f"\nAtrium CRM is ready at {url}/api/v1/docs/")
        self._console.print(f"Back office: {url}/admin/")
        self._console.print(sign_in.strip(), markup=False)
        self._console.print(f"Logs: {self._servers.home.logs}    Stop: Ctrl-C", markup=False)

    def _refuse_used_port(self) -> None:
        # A real attempt to bind: the web server itself would silently share the port with another one.
        with socket.socket() as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                attempt.bind((self.host, self.port))
            except OSError as error:
                raise StartFailed(
                    f"Port {self.port} on {self.host} cannot be used ({error.strerror}). "
                    "Set CRM_PORT to another one."
                ) from None

    def _start_web(self) -> None:
        self._start_child(
            "web",
            *("granian", "--interface", "rsgi", "--no-ws", "--host", self.host, "--port", str(self.port)),
            *("--workers", "1", "--backpressure", "4096", "--http1-header-read-timeout", "10000"),
            *("--respawn-failed-workers", "--respawn-interval", "0.5"),
            # Without it an open event stream would hold up the end.
            *("--workers-kill-timeout", "3", "config.rsgi:application"),
        )

    def _web_answers(self) -> bool:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request("GET", "/api/v1/monitoring/health/?live=1")
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
            raise StartFailed(f"The web server answers with {status}.{_tail(self._child('web'))}")
        return True

    def _start_worker(self) -> None:
        self._start_child(
            "worker",
            *("celery", "--app", "config", "worker", "--pool", "prefork", "--concurrency", "2"),
            *("--without-gossip", "--without-mingle", "--loglevel", "INFO"),
        )

    def _start_beat(self) -> None:
        self._start_child("beat", "celery", "--app", "config", "beat", "--pidfile", "", "--loglevel", "INFO")

    def _wait(self, name: str, is_ready: Callable[[str], bool]) -> None:
        """Wait for a child. `is_ready` is given the text of its log."""
        child = self._child(name)
        deadline = time.monotonic() + _READY_SECONDS
        with self._progress(name.capitalize()):
            while not is_ready(child.log.read_text(errors="replace")):
                self._refuse_dead(child)
                if time.monotonic() > deadline:
                    raise StartFailed(f"The {name} is not ready within {_READY_SECONDS} s.{_tail(child)}")
                time.sleep(0.1)

    def _child(self, name: str) -> _Child:
        return next(child for child in self._children if child.name == name)

    def _start_child(self, name: str, *command: str) -> None:
        log = self._servers.home.logs / f"{name}.log"
        log.unlink(missing_ok=True)
        self._children.append(_Child(name, command, self._spawn(command, log), log))

    def _spawn(self, command: tuple[str, ...], log: Path) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": settings.SETTINGS_MODULE,
            "PYTHONUNBUFFERED": "1",
        }
        with open(log, "ab", opener=_private) as output:
            return subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=PROJECT_DIR,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with(os.getpid()),
            )

    def _command(self, title: str, name: str, **options: Any) -> str:
        """Run a management command here; its last line of output shows how far it is."""
        with self._progress(title) as status:
            output = _Tee(lambda line: status.update(f"{title}: {line}"))
            call_command(name, stdout=output, **options)
        return output.getvalue()

    def _step(self, title: str, action: Callable[[], object]) -> None:
        with self._progress(title):
            action()

    @contextmanager
    def _progress(self, title: str) -> Iterator[Status]:
        started = time.monotonic()
        with self._console.status(title) as status:
            yield status
        self._console.print(f"  {title:<14} ready  {time.monotonic() - started:5.1f} s")

    # Watching and stopping ----------------------------------------------------------------------------

    def _watch(self) -> NoReturn:
        """Whatever dies comes back: a server with everything that was committed, a child unless it has just done so."""
        looked_at = time.monotonic()
        while True:
            for child in self._children:
                self._revive(child)
            if time.monotonic() - looked_at >= _SERVERS_SECONDS:
                self._ensure_servers()
                looked_at = time.monotonic()
            time.sleep(0.2)

    def _ensure_servers(self) -> None:
        """Start what died again. A server that dies once more while it comes back is started once more, for some minutes."""
        try:
            if settings.EMBEDDED:
                self._servers.ensure_postgres()
            if not os.environ.get("REDIS_URL"):
                self._servers.ensure_redis()
        except embedded.EmbeddedServerError as failure:
            now = time.monotonic()
            self._failing_since = self._failing_since or now
            if now - self._failing_since > _RECOVERY_SECONDS:
                raise
            self._console.print(f"A server did not come back and is started again. {failure}", markup=False)
        else:
            self._failing_since = None

    def _revive(self, child: _Child) -> None:
        code = child.process.poll()
        if code is None:
            return
        if time.monotonic() - child.revived_at < _CALM_SECONDS:
            self._refuse_dead(child)
        self._console.print(f"The {child.name} ended by itself (exit code {code}); it is started again.")
        # The whole group: a server's own workers may outlive it and keep the port.
        _kill_group(child.process.pid)
        child.process, child.revived_at = self._spawn(child.command, child.log), time.monotonic()

    def _refuse_dead(self, child: _Child) -> None:
        code = child.process.poll()
        if code is not None:
            raise StartFailed(f"\nThe {child.name} ended by itself (exit code {code}).{_tail(child)}")

    def _stop(self) -> None:
        """End the children and whatever they started, then the servers. A second Ctrl-C does not wait."""
        patience = [_STOP_SECONDS]
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: patience.__setitem__(0, 0))
        for child in self._children:
            child.process.terminate()
        started = time.monotonic()
        while any(child.process.poll() is None for child in self._children):
            if time.monotonic() - started > patience[0]:
                break
            time.sleep(0.05)
        for child in self._children:
            _kill_group(child.process.pid)
            child.process.wait()
        self._servers.stop_all()


class _Tee(io.StringIO):
    """Keeps what is written and reports each whole line."""

    def __init__(self, report: Callable[[str], None]) -> None:
        super().__init__()
        self._report = report

    def write(self, text: str) -> int:
        for line in text.splitlines():
            if line.strip():
                self._report(line.strip())
        return super().write(text)


def _request_stop(_number: int, _frame: FrameType | None) -> None:
    raise _StopRequested


def _die_with(parent: int) -> Callable[[], None]:
    """What a child does before its program starts: ask the kernel for SIGTERM when its parent dies."""
    libc = ctypes.CDLL(None, use_errno=True)

    def prepare() -> None:
        if sys.platform == "linux":
            libc.prctl(_DIE_WITH_PARENT, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(1)

    return prepare


def _take(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _tail(child: _Child) -> str:
    lines = child.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
    return "\n".join(["", f"The end of {child.log}:", *(f"  {line}" for line in lines)])


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _kill_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return
