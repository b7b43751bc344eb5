"""Behind a real PgBouncer in transaction mode: one server connection serves many clients, a transaction at a time."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections, transaction

from core.database.prepared import MAX_STATEMENTS
from core.kernel.transactions import retried
from core.tenancy.context import system_context
from core.tenancy.postgresql.base import DatabaseWrapper

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin") or ""
SERVERS, CLIENTS = 2, 3
# More than a connection keeps.
DISTINCT = MAX_STATEMENTS + 120

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not PROGRAM, reason="pgbouncer is not installed (Debian: apt-get install pgbouncer)"),
]


def _version() -> tuple[int, ...]:
    text = subprocess.run([PROGRAM, "--version"], check=True, capture_output=True, text=True).stdout
    return tuple(int(part) for part in text.split()[1].split(".")[:2])


@pytest.fixture
def port() -> Iterator[int]:
    """Of a PgBouncer whose transactions take turns on its server connections."""
    connection.ensure_connection()
    info = connection.connection.info
    # It refuses to run as root, and must reach the server's socket.
    owner = Path(info.host).stat().st_uid if info.host.startswith("/") else os.getuid()
    if owner == 0:
        pytest.skip("pgbouncer does not run as root")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n* = host={info.host} port={info.port} user={info.user} pool_size={SERVERS}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {free}\nunix_socket_dir =\nauth_type = any\n"
            "pool_mode = transaction\nserver_round_robin = 1\nignore_startup_parameters = extra_float_digits,options\n"
            + ("max_prepared_statements = 50\n" if _version() >= (1, 21) else "")
        )
        as_owner: dict[str, Any] = {"user": owner} if os.getuid() == 0 else {}
        if as_owner:
            for path in (folder, settings):
                os.chown(path, owner, -1)
        process = subprocess.Popen(
            [PROGRAM, str(settings)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, **as_owner
        )
        try:
            _wait_for(free, process)
            yield free
        finally:
            process.terminate()
            process.communicate(timeout=20)


def _wait_for(port: int, process: subprocess.Popen[str]) -> None:
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.1)
        else:
            return
    raise AssertionError("pgbouncer does not answer")


@pytest.fixture
def clients(port: int) -> Iterator[list[DatabaseWrapper]]:
    made: list[Any] = [connection.copy() for _ in range(CLIENTS)]
    for client in made:
        client.settings_dict = {**client.settings_dict, "HOST": "127.0.0.1", "PORT": str(port)}
    yield made
    for client in made:
        client.close()


@contextmanager
def speaking(client: DatabaseWrapper) -> Iterator[None]:
    """The process is this client's."""
    usual = connections["default"]
    connections["default"] = client
    try:
        with system_context("a test"):
            yield
    finally:
        connections["default"] = usual


def ask(client: DatabaseWrapper, number: int) -> tuple[Any, ...]:
    """The number, from one of many statements, and the server connection that answered."""

    def work() -> tuple[Any, ...]:
        [row] = client.fetch_prepared(f"SELECT %s::int - {number}, pg_backend_pid()", [2 * number])
        return row

    with speaking(client):
        return retried(work)


class TestPgBouncer:
    @pytest.mark.parametrize("keep", [True, False])
    def test_answers_every_client_what_it_asked(
        self, clients: list[DatabaseWrapper], settings: Any, keep: bool
    ) -> None:
        settings.PREPARED_STATEMENTS = keep
        with speaking(clients[0]), transaction.atomic():
            # Both server connections are needed at once, and used by turns afterwards.
            first = clients[0].fetch_prepared("SELECT pg_backend_pid()")[0][0]
            servers = {first, ask(clients[1], 1)[1]}
        for number in [*range(DISTINCT), *range(DISTINCT)]:
            for place, client in enumerate(clients):
                answer, server = ask(client, number + place)
                assert answer == number + place
                servers.add(server)
        assert len(servers) == SERVERS

    def test_gives_a_client_the_statement_it_prepared(
        self, clients: list[DatabaseWrapper], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Names that two clients share would run the other's statement."""
        names = set()
        for client in clients:
            with speaking(client):
                client.ensure_connection()
                names |= {next(client._prepared._new_names) for _ in range(10)}
        assert len(names) == 10 * CLIENTS

    def test_keeps_each_transaction_in_its_context(self, clients: list[DatabaseWrapper]) -> None:
        asked = "SELECT current_user::text, current_setting('app.company_id')"
        for client in [*clients, *clients]:
            with speaking(client):
                assert retried(lambda client=client: client.fetch_prepared(asked)) == [("crm_platform", "")]
