"""The server's own process, as `config.wsgi` sets it up."""

from __future__ import annotations

import subprocess
import sys

from config.home import PROJECT_DIR
from tests.core.jobs.conftest import child_environment

LOOK = """
import threading
import config.wsgi
from django.core import signals
from django.db import connection, connections

def look():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        seen.append((cursor.fetchone()[0], connections["default"] is connections["default"]))
    assert len(connections.all(initialized_only=True)) == 1
    connection.close()

seen = []
look()
for _ in range(2):
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
assert len({pid for pid, _ in seen}) == 3 and all(same for _, same in seen), seen

connection.ensure_connection()
connection.close_at = 0
signals.request_started.send(sender=None)
assert connection.connection is None
"""


def test_threads_have_connections_of_their_own_and_old_ones_are_closed(db: None) -> None:
    environment = child_environment(DJANGO_ALLOW_ASYNC_UNSAFE="")
    done = subprocess.run(
        [sys.executable, "-c", LOOK],
        cwd=PROJECT_DIR,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
