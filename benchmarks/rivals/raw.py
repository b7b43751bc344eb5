"""The floor: a bare WSGI function, one driver, one JSON encoder. No sign-in, no isolation, no log."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import orjson
import psycopg
from psycopg.rows import tuple_row

COMPANY = os.environ["BENCH_COMPANY"]
WRITES = os.environ["BENCH_WRITES"]
TABLE = os.environ["BENCH_TABLE"]
NAMES: dict[str, str] = orjson.loads(os.environ["BENCH_FIELDS"])
COLUMNS = ", ".join(NAMES.values())
# The lists' index leaves the recycle bin out, so whoever lists says so too, or sorts the whole table.
LIST = (
    f"SELECT {COLUMNS} FROM {TABLE} WHERE company_id = %s AND deleted_at IS NULL "
    "ORDER BY created_at DESC, id DESC LIMIT %s"
)

_connection: psycopg.Connection[Any] | None = None


def _connected() -> psycopg.Connection[Any]:
    global _connection
    if _connection is None:
        _connection = psycopg.connect(os.environ["BENCH_CONNINFO"], autocommit=True, prepare_threshold=1)
    return _connection


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """`GET /?limit=100` lists, `POST /` creates."""
    if environ["REQUEST_METHOD"] == "POST":
        body = _create(orjson.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))))
    else:
        body = _list(int(environ["QUERY_STRING"].removeprefix("limit=") or 100))
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def _list(limit: int) -> bytes:
    cursor = _connected().cursor(binary=True, row_factory=tuple_row)
    rows = cursor.execute(LIST, (COMPANY, limit)).fetchall()
    return orjson.dumps({"results": [dict(zip(NAMES, row, strict=True)) for row in rows]}, default=str)


def _create(document: dict[str, Any]) -> bytes:
    given = {name: value for name, value in document.items() if name in NAMES}
    columns = ", ".join(NAMES[name] for name in given)
    places = ", ".join(["%s"] * len(given))
    sql = (
        f"INSERT INTO {TABLE} (id, company_id, {columns}) VALUES (uuidv7(), %s, {places}) RETURNING {COLUMNS}"
    )
    row = _connected().execute(sql, (WRITES, *given.values())).fetchone()
    assert row is not None
    return orjson.dumps(dict(zip(NAMES, row, strict=True)), default=str)
