"""G1: a file of 100,000 contacts through the whole import, beside COPY of the same rows and other ways to import."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import psycopg
from django.core.management import call_command

from benchmarks import world
from benchmarks.contacts_file import COLUMNS
from benchmarks.goals.lists import rival_environ
from benchmarks.measuring import ROUNDS, Section, interleaved, ratio, seconds

ROWS = 100_000
_TABLE = "copied_contact"
# How many rows a rival gets; its time is scaled to all of them.
_RIVALS = {
    "DRF serializer for each row": 2_000,
    "DRF serializer many + bulk_create": 10_000,
    "django-import-export": 10_000,
}


def goal() -> Section:
    section = Section("G1", f"{ROWS:,} contacts from a CSV file")
    home = world.house("imports")
    with tempfile.TemporaryDirectory() as folder, world.owner() as connection:
        named, plain = Path(folder, "contacts.csv"), Path(folder, "plain.csv")
        _write_files(connection, home, named, plain)
        _make_table(connection, home)

        def copy() -> float:
            connection.execute(f"TRUNCATE {_TABLE}")
            return seconds(lambda: _copy(connection, plain))

        def ours() -> float:
            world.empty(home)
            connection.execute("VACUUM ANALYZE crm_contact")
            taken = seconds(lambda: _import(named, home.slug))
            stored = connection.execute(
                "SELECT count(*) FROM crm_contact WHERE company_id = %s", [home.company_id]
            )
            assert stored.fetchone() == (ROWS,)
            return taken

        actions: dict[str, Callable[[], float]] = {
            "COPY csv into the indexed table": copy,
            "Atrium import": ours,
        }
        found = interleaved(actions, ROUNDS)
        for name, rows in _RIVALS.items():
            once = _rival(name, plain, rows)
            found[name] = [once * ROWS / rows] * ROUNDS
            world.empty(home)
        connection.execute(f"DROP TABLE {_TABLE}")
    world.empty(home)
    section.add(found, "s", "COPY csv into the indexed table")
    section.judge(
        "import", ratio(found["Atrium import"], found["COPY csv into the indexed table"]), at_most=2.0
    )
    section.notes.append(
        "The rivals import a part of the file once, scaled to all rows, without sign-in, isolation and log."
    )
    return section


def _write_files(connection: psycopg.Connection, home: world.House, named: Path, plain: Path) -> None:
    """The file a person would bring, with the account's name, and the one that COPY takes, with its id."""
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute(
            "INSERT INTO crm_account (id, company_id, name) SELECT uuidv7(), %s, 'Company ' || g "
            "FROM generate_series(1, 1000) g WHERE NOT EXISTS (SELECT FROM crm_account WHERE company_id = %s)",
            [home.company_id, home.company_id],
        )
    chosen = ", ".join(f'c.{field} AS "{column}"' for column, field in COLUMNS.items())
    for path, account in ((named, 'a.name AS "Company"'), (plain, "a.id AS account_id")):
        query = (
            f"SELECT {chosen}, {account} FROM (SELECT row_number() OVER (ORDER BY id) AS g, r.* "
            f"FROM {world.RIVAL_TABLE} r ORDER BY id LIMIT {ROWS}) c "
            f"JOIN crm_account a ON a.company_id = '{home.company_id}' AND a.name = 'Company ' || 1 + c.g % 1000"
        )
        with (
            path.open("wb") as file,
            connection.cursor().copy(f"COPY ({query}) TO STDOUT (FORMAT csv, HEADER)") as out,
        ):
            for block in out:
                file.write(block)


def _make_table(connection: psycopg.Connection, home: world.House) -> None:
    connection.execute(f"DROP TABLE IF EXISTS {_TABLE}")
    connection.execute(f"CREATE TABLE {_TABLE} (LIKE crm_contact INCLUDING ALL)")
    connection.execute(f"ALTER TABLE {_TABLE} ALTER id SET DEFAULT uuidv7()")
    connection.execute(f"ALTER TABLE {_TABLE} ALTER company_id SET DEFAULT '{home.company_id}'")


def _copy(connection: psycopg.Connection, path: Path) -> None:
    columns = ", ".join([*COLUMNS.values(), "account_id"])
    into = (
        f"COPY {_TABLE} ({columns}) FROM STDIN (FORMAT csv, HEADER, FORCE_NOT_NULL ({', '.join(_texts())}))"
    )
    with path.open("rb") as file, connection.cursor().copy(into) as out:
        while block := file.read(1 << 20):
            out.write(block)


def _texts() -> list[str]:
    return [field for field in COLUMNS.values() if field != "birth_date"]


def _import(path: Path, slug: str) -> None:
    said = io.StringIO()
    chosen = [f"{column}={field}" for column, field in [*COLUMNS.items(), ("Company", "account")]]
    with redirect_stdout(said):
        call_command(
            "import_data", str(path), company=slug, entity="contact", map=chosen, json=True, stdout=said
        )


def _rival(name: str, path: Path, rows: int) -> float:
    command = [sys.executable, "-m", "benchmarks.rivals.importing", name, str(path), str(rows)]
    environ = rival_environ() | {"BENCH_WRITES": str(world.house("imports").company_id)}
    printed = subprocess.run(
        command, env={**os.environ, **environ}, stdout=subprocess.PIPE, check=True, text=True
    )
    return float(json.loads(printed.stdout))
