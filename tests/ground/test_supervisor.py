"""`manage.py up`: everything starts together, and nothing is left behind however it ends."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from config import supervisor
from config.embedded import EmbeddedServerError, EmbeddedServers
from config.home import PROJECT_DIR
from config.supervisor import Supervisor

READY = "Atrium CRM is ready"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(home: Path, port: int) -> tuple[list[str], dict[str, str]]:
    environment = {
        **os.environ,
        "CRM_HOME": str(home),
        "CRM_PORT": str(port),
        "DJANGO_SETTINGS_MODULE": "config.settings.local",
    }
    return [sys.executable, "manage.py", "up", "--no-demo"], environment


def run(home: Path, port: int) -> subprocess.CompletedProcess[str]:
    """Run until it ends by itself."""
    arguments, environment = command(home, port)
    return subprocess.run(
        arguments, cwd=PROJECT_DIR, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@contextmanager
def running(home: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """A started system, ready for requests."""
    arguments, environment = command(home, port)
    with subprocess.Popen(
        arguments, cwd=PROJECT_DIR, env=environment, stdout=subprocess.PIPE, text=True
    ) as system:
        try:
            told = []
            assert system.stdout is not None
            for line in system.stdout:
                told.append(line)
                if READY in line:
                    break
            else:
                pytest.fail("".join(told))
            yield system
        finally:
            system.kill()


def processes_of(home: Path) -> dict[int, str]:
    """Command lines of all that was started for this home folder, by process id."""
    found = {}
    marks = (f"CRM_HOME={home}\0".encode(), str(home).encode())
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes() + b"\0"
            line = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if int(folder.name) != os.getpid() and (marks[0] in environment or marks[1] in line):
            found[int(folder.name)] = line.replace(b"\0", b" ").decode()
    return found


def beat_of(home: Path) -> int:
    (pid,) = (pid for pid, line in processes_of(home).items() if " beat " in line)
    return pid


def wait_for(home: Path, is_right: object, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not is_right(processes_of(home)):  # type: ignore[operator]
        assert time.monotonic() < deadline, processes_of(home)
        time.sleep(0.1)


class _DyingServers:
    """Servers that die while they come back, so many times."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.started = 0

    def ensure_postgres(self) -> None:
        self.started += 1
        if self.started <= self.times:
            raise EmbeddedServerError("PostgreSQL ended while it started.")

    def ensure_redis(self) -> None:
        return None


class TestRecovery:
    def test_goes_on_when_a_server_dies_again_while_it_comes_back(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        system = Supervisor(host="127.0.0.1", port=1, demo=False)
        servers = _DyingServers(times=3)
        monkeypatch.setattr(system, "_servers", servers)
        for _ in range(4):
            system._ensure_servers()
        assert servers.started == 4

    def test_ends_when_a_server_will_not_come_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        system = Supervisor(host="127.0.0.1", port=1, demo=False)
        monkeypatch.setattr(system, "_servers", _DyingServers(times=1_000))
        monkeypatch.setattr(supervisor, "_RECOVERY_SECONDS", 0)
        system._ensure_servers()
        with pytest.raises(EmbeddedServerError):
            system._ensure_servers()


class TestUp:
    def test_refuses_a_used_port_before_anything_starts(self, home_dir: Path) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            result = run(home_dir, port)
        assert result.returncode == 1
        assert f"Port {port}" in result.stdout
        assert "CRM_PORT" in result.stdout
        assert not any(status.pid for status in EmbeddedServers(home_dir).status())

    def test_serves_until_it_is_asked_to_stop_and_leaves_no_process(self, home_dir: Path) -> None:
        port = free_port()
        with running(home_dir, port) as system:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", "/admin/login/", headers={"X-Correlation-ID": "from-a-test"})
            answer = connection.getresponse()
            assert answer.status == 200
            assert answer.headers["X-Correlation-ID"] == "from-a-test"
            logs = home_dir / "logs"
            assert logs.stat().st_mode & 0o777 == 0o700
            assert {file.stat().st_mode & 0o777 for file in logs.iterdir()} == {0o600}
            again = run(home_dir, free_port())
            assert again.returncode == 1
            assert "Already running" in again.stdout

            system.send_signal(signal.SIGTERM)
            assert system.wait(30) == 0
        assert processes_of(home_dir) == {}

    @pytest.mark.long
    def test_starts_a_part_again_and_ends_with_its_log_when_it_dies_twice(self, home_dir: Path) -> None:
        with running(home_dir, free_port()) as system:
            first = beat_of(home_dir)
            os.kill(first, signal.SIGKILL)
            wait_for(
                home_dir, lambda found: any(" beat " in line for pid, line in found.items() if pid != first)
            )
            assert system.poll() is None

            os.kill(beat_of(home_dir), signal.SIGKILL)
            assert system.wait(30) == 1
            assert system.stdout is not None
            told = system.stdout.read()
        assert "The beat ended by itself (exit code -9); it is started again." in told
        assert told.count("The beat ended by itself") == 2
        assert "beat: Starting..." in told
        assert processes_of(home_dir) == {}

    @pytest.mark.long
    def test_answers_again_after_the_web_server_gave_up(self, home_dir: Path) -> None:
        port = free_port()
        with running(home_dir, port) as system:
            # The server and its worker.
            (group,) = {
                os.getpgid(pid) for pid, line in processes_of(home_dir).items() if " granian " in line
            }
            os.killpg(group, signal.SIGKILL)

            def answers(_: object) -> bool:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                try:
                    connection.request("GET", "/api/v1/monitoring/health/?live=1")
                    return connection.getresponse().status == 200
                except OSError:
                    return False
                finally:
                    connection.close()

            wait_for(home_dir, answers, 60)
            system.send_signal(signal.SIGTERM)
            assert system.wait(30) == 0
        assert processes_of(home_dir) == {}

    @pytest.mark.long
    def test_servers_that_die_come_back(self, home_dir: Path) -> None:
        port = free_port()
        with running(home_dir, port) as system:
            before = {status.name: status.pid for status in EmbeddedServers(home_dir).status()}
            for pid in before.values():
                assert pid is not None
                os.kill(pid, signal.SIGKILL)

            def are_back(_: object) -> bool:
                now = EmbeddedServers(home_dir).status()
                return all(status.pid not in (None, before[status.name]) for status in now)

            wait_for(home_dir, are_back, 60)
            assert system.poll() is None
            system.send_signal(signal.SIGTERM)
            assert system.wait(30) == 0

    @pytest.mark.long
    def test_killed_leaves_only_the_servers_and_starts_again(self, home_dir: Path) -> None:
        port = free_port()
        with running(home_dir, port) as system:
            system.kill()
            system.wait()
            wait_for(home_dir, lambda found: not any("manage.py" in c or " -m " in c for c in found.values()))
        assert all(status.pid for status in EmbeddedServers(home_dir).status())
        with running(home_dir, port) as system:
            system.send_signal(signal.SIGINT)
            assert system.wait(30) == 0
        assert processes_of(home_dir) == {}
