"""The embedded servers under all that a developer's machine does to them."""

import json
import os
import pwd
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
import redis

from config.embedded import EmbeddedServerError, EmbeddedServers, ensure_for
from config.home import PROJECT_DIR, Home

ENSURE = "import sys; from pathlib import Path; from config.embedded import EmbeddedServers; "
ENSURE += "s = EmbeddedServers(Path(sys.argv[1])); s.ensure_postgres(); s.ensure_redis(); "


def start_elsewhere(home: Path, then: str = "") -> subprocess.Popen[str]:
    """Another process that starts the servers of `home`."""
    command = [sys.executable, "-c", ENSURE + then, str(home)]
    return subprocess.Popen(command, cwd=PROJECT_DIR, stderr=subprocess.PIPE, text=True)


def pid_of(servers: EmbeddedServers, name: str) -> int | None:
    return next(status.pid for status in servers.status() if status.name == name)


def query(url: str, sql: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else []


def owners(url: str) -> str:
    """The same database, as the owner of the cluster."""
    return url.replace("user=crm", "user=postgres")


def main_processes(home: Home) -> list[int]:
    """The main PostgreSQL processes that were started on this home's data."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if b"\0-D\0" in command and str(home.servers).encode() in command:
            found.append(int(folder.name))
    return found


class TestStart:
    def test_gives_a_working_database_and_redis_and_stops_both(self, servers: EmbeddedServers) -> None:
        url = servers.ensure_postgres()
        servers.ensure_redis()
        assert query(url, "SHOW server_version_num")[0][0] >= "180000"  # type: ignore[operator]
        assert query(url, "SELECT current_database(), lower('ÄÖÉ')") == [("crm", "äöé")]
        assert all(status.pid for status in servers.status())
        assert servers.home.postgres_socket.parent.stat().st_mode & 0o777 == stat.S_IRWXU

        servers.stop_all()
        assert not any(status.pid for status in servers.status())
        assert main_processes(servers.home) == []

    def test_keeps_what_was_stored_over_a_stop(self, servers: EmbeddedServers) -> None:
        query(owners(servers.ensure_postgres()), "CREATE TABLE kept AS SELECT 1 AS one")
        servers.stop_all()
        assert query(owners(servers.ensure_postgres()), "SELECT one FROM kept") == [(1,)]

    def test_by_several_processes_at_once_starts_one_server(self, servers: EmbeddedServers) -> None:
        starters = [start_elsewhere(servers.home.root) for _ in range(4)]
        for starter in starters:
            assert starter.wait(60) == 0, starter.stderr and starter.stderr.read()
        assert len(main_processes(servers.home)) == 1

    def test_runs_a_redis_that_is_maintained(self, servers: EmbeddedServers) -> None:
        with redis.from_url(servers.ensure_redis()) as client:
            assert int(client.info("server")["valkey_version"].partition(".")[0]) >= 9

    def test_serves_as_a_login_of_its_own(self, servers: EmbeddedServers) -> None:
        url = servers.ensure_postgres()
        right = (
            "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname = session_user"
        )
        assert query(url, right) == [("crm", False, False, False)]

    def test_gives_a_cluster_made_before_its_login(self, servers: EmbeddedServers) -> None:
        url = servers.ensure_postgres()
        query(owners(url), "DROP ROLE crm")
        servers.stop_all()
        assert query(servers.ensure_postgres(), "SELECT session_user::text") == [("crm",)]

    def test_ignores_a_cluster_that_was_only_half_made(self, servers: EmbeddedServers) -> None:
        half_made = servers.home.root / "postgresql-18.new"
        half_made.mkdir(parents=True)
        (half_made / "PG_VERSION").write_text("18\n")
        assert query(servers.ensure_postgres(), "SELECT 1") == [(1,)]

    def test_is_not_led_by_the_callers_postgres_variables(
        self, servers: EmbeddedServers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PGPORT", "1")
        monkeypatch.setenv("PGHOST", "elsewhere.invalid")
        servers.ensure_postgres()
        assert pid_of(servers, "PostgreSQL") is not None


class TestSuddenEnd:
    def test_of_the_starter_leaves_the_servers_running(self, servers: EmbeddedServers) -> None:
        starter = start_elsewhere(servers.home.root, "import os; os.kill(os.getpid(), 9)")
        assert starter.wait(60) == -signal.SIGKILL
        running = pid_of(servers, "PostgreSQL")
        assert running is not None
        assert pid_of(servers, "Redis") is not None
        servers.ensure_postgres()
        assert pid_of(servers, "PostgreSQL") == running

    def test_of_the_servers_loses_nothing_that_was_committed(self, servers: EmbeddedServers) -> None:
        url = servers.ensure_postgres()
        servers.ensure_redis()
        query(owners(url), "CREATE TABLE kept AS SELECT 1 AS one")
        for name in ("PostgreSQL", "Redis"):
            pid = pid_of(servers, name)
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
        wait_until_gone(servers)
        assert query(owners(servers.ensure_postgres()), "SELECT one FROM kept") == [(1,)]
        servers.ensure_redis()
        assert all(status.pid for status in servers.status())

    def test_and_a_reused_process_id_do_not_prevent_the_next_start(self, servers: EmbeddedServers) -> None:
        servers.ensure_postgres()
        pid_file = servers.home.servers / "postgresql-18" / "postmaster.pid"
        text = pid_file.read_text()
        servers.stop_all()
        # As after a restart of a container: the recorded id now belongs to something else, here to us.
        stale = text.replace(text.split("\n", 1)[0], str(os.getpid()), 1)
        pid_file.write_text(stale)
        Path(f"{servers.home.postgres_socket}.lock").write_text(stale)
        assert query(servers.ensure_postgres(), "SELECT 1") == [(1,)]


class TestPlaces:
    def test_a_long_path_keeps_its_sockets_elsewhere(self, long_home_dir: Path) -> None:
        servers = EmbeddedServers(long_home_dir)
        assert query(servers.ensure_postgres(), "SELECT 1") == [(1,)]
        servers.ensure_redis()
        assert not servers.home.sockets.is_relative_to(long_home_dir)
        assert (long_home_dir / "postgresql-18").is_dir()

    def test_a_folder_that_somebody_else_prepared_is_refused(self, long_home_dir: Path) -> None:
        servers = EmbeddedServers(long_home_dir)
        trap = long_home_dir.parent / "trap"
        trap.mkdir()
        servers.home.sockets.symlink_to(trap)
        with pytest.raises(EmbeddedServerError, match="belongs to somebody else"):
            servers.ensure_postgres()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the servers as somebody else")
    def test_root_runs_them_as_nobody(self, servers: EmbeddedServers) -> None:
        servers.ensure_postgres()
        pid = pid_of(servers, "PostgreSQL")
        assert Path(f"/proc/{pid}").stat().st_uid == pwd.getpwnam("nobody").pw_uid

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the servers as somebody else")
    def test_below_a_private_folder_root_keeps_the_data_elsewhere(self, private_home_dir: Path) -> None:
        servers = EmbeddedServers(private_home_dir)
        mode = private_home_dir.parent.stat().st_mode
        assert query(servers.ensure_postgres(), "SELECT 1") == [(1,)]
        servers.ensure_redis()
        assert not servers.home.servers.is_relative_to(private_home_dir)
        assert private_home_dir.parent.stat().st_mode == mode

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
    def test_programs_out_of_reach_are_copied(
        self, servers: EmbeddedServers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("config.embedded.passable_by_others", lambda _folder: False)
        assert query(servers.ensure_postgres(), "SELECT 1") == [(1,)]
        servers.ensure_redis()
        assert servers.program("psql").is_relative_to(servers.home.root)

    @pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user runs all other tests")
    def test_an_ordinary_user_runs_them_too(self, home_dir: Path) -> None:
        nobody = pwd.getpwnam("nobody")
        home_dir.mkdir()
        os.chown(home_dir, nobody.pw_uid, nobody.pw_gid)
        child = os.fork()
        if child == 0:
            # A process of the ordinary user's, without running this Python, which may be out of reach.
            code = 1
            try:
                os.setgroups([])
                os.setgid(nobody.pw_gid)
                os.setuid(nobody.pw_uid)
                servers = EmbeddedServers(home_dir)
                servers.ensure_postgres()
                servers.ensure_redis()
                servers.stop_all()
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        assert (home_dir / "postgresql-18").stat().st_uid == nobody.pw_uid


class TestSecrets:
    def test_are_made_once_and_are_private(self, servers: EmbeddedServers) -> None:
        servers.ensure_secrets()
        first = servers.home.secrets_file.read_text()
        servers.ensure_secrets()
        assert servers.home.secrets_file.read_text() == first
        assert servers.home.secrets_file.stat().st_mode & 0o777 == 0o600
        assert set(json.loads(first)) == {"SECRET_KEY", "JWT_KEYS"}


class TestEnsureFor:
    def test_production_starts_nothing(self, home_dir: Path) -> None:
        ensure_for("config.settings.production", {"CRM_HOME": str(home_dir)})
        assert not home_dir.exists()

    def test_named_servers_are_not_started(self, home_dir: Path) -> None:
        others = {"DATABASE_URL": "postgresql://db/crm", "REDIS_URL": "redis://redis"}
        ensure_for("config.settings.local", {"CRM_HOME": str(home_dir), **others})
        assert [path.name for path in home_dir.iterdir() if path.is_dir()] == []


def test_importing_settings_changes_nothing(home_dir: Path) -> None:
    code = "from django.conf import settings; settings.DATABASES"
    environment = {
        **os.environ,
        "CRM_HOME": str(home_dir),
        "DJANGO_SETTINGS_MODULE": "config.settings.local",
    }
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT_DIR, env=environment, check=True)
    assert not home_dir.exists()


def wait_until_gone(servers: EmbeddedServers) -> None:
    deadline = time.monotonic() + 10
    while any(status.pid for status in servers.status()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
