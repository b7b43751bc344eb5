"""Two companies of the same shape in one transaction, and requests that leave no trace.

Every request runs in a savepoint of its own that is rolled back, so that two of them meet the very same data and can be
compared.
"""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

from django.core import mail
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, transaction
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.test.utils import CaptureQueriesContext

from core.access import view
from core.entities import Entity, entities
from core.observability.access_lines import access_lines
from core.tenancy.context import system_context
from tests.conformance.operations import Operation
from tests.factories.records import Marks, Stock
from tests.worlds import ApiClient

# How many records of a kind a full list has.
MANY = 15
ACME = Marks("Acme", 11_000, "2026-06-30")
# Each text, number and day of theirs can be told wherever it turns up.
GLOBEX = Marks("CANARY-B", 1_000_000_000, "2091-03-04")
CANARY = re.compile(r"canary.?b|globex|\b1000000\d\d\d\b|2091-03-04", re.IGNORECASE)
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_NOISE = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)"), "<time>"),
    (re.compile(r"cursor=[\w.:%~-]+"), "cursor=<cursor>"),
    (re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+"), "<token>"),
    (re.compile(r"atr_[a-z0-9]+(\.[\w-]+)?"), "<key>"),
    (re.compile(r'"correlation_id": ?"[^"]*"'), '"correlation_id":""'),
)
_VARYING_HEADERS = ("x-correlation-id", "content-length", "etag")


@dataclass(frozen=True)
class Call:
    """A request that could be sent."""

    operation: Operation
    path: dict[str, str] = field(default_factory=dict)
    query: tuple[tuple[str, str], ...] = ()
    # None: no body at all.
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    # The body is a form; its part `file` is an uploaded file of this text.
    is_form: bool = False

    @property
    def url(self) -> str:
        path = self.operation.path
        for name, value in self.path.items():
            path = path.replace(f"{{{name}}}", quote(value, safe=""))
        return f"{path}?{urlencode(self.query)}" if self.query else path

    def asking(self, **parameters: str) -> Call:
        return replace(self, query=(*self.query, *parameters.items()))

    def telling(self, **fields: Any) -> Call:
        return replace(self, body={**(self.body or {}), **fields})


@dataclass
class Answer:
    """What came of a request: all that could be seen of it, anywhere."""

    status: int
    headers: dict[str, str]
    text: str
    queries: int
    # Mails, log lines and what background work was given.
    beside: str = ""
    error: str = ""
    unchanged_neighbor: bool = True
    # What was looked at while the effects were there.
    seen: Any = None

    @property
    def ok(self) -> bool:
        return self.status < 400

    def json(self) -> Any:
        return json.loads(self.text)


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        fault = record.exc_info and record.exc_info[1]
        trace = "".join(traceback.format_exception(fault)) if fault else ""
        self.lines.append(f"{record.msg} {record.args or ''} {trace}")


@contextmanager
def listening() -> Iterator[list[str]]:
    """Every log line of the block, at any level."""
    handler, root = _Lines(), logging.getLogger()
    access_lines.flush()
    level, handlers = root.level, root.handlers
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    try:
        yield handler.lines
    finally:
        access_lines.flush()
        root.handlers = handlers
        root.setLevel(level)


@dataclass
class Rooms:
    """The company under test and its neighbor."""

    acme: Stock
    globex: Stock
    # Our ids -> their record of the same kind at the same place.
    twins: dict[str, str] = field(default_factory=dict)
    their_ids: frozenset[str] = frozenset()
    our_ids: frozenset[str] = frozenset()
    # What the neighbor's records say, as it was looked up.
    texts: dict[tuple[str, str], str] = field(default_factory=dict)
    _clients: dict[tuple[str, str], ApiClient] = field(default_factory=dict)
    requests: int = 0

    def client(self, role: str = "admin", company: str = "acme") -> ApiClient:
        if role == "anonymous":
            return ApiClient()
        if (role, company) not in self._clients:
            self._clients[role, company] = getattr(self, company).world.client(role)
        return self._clients[role, company]

    def send(
        self,
        call: Call,
        role: str = "admin",
        *,
        watch: bool = False,
        client: ApiClient | None = None,
        content_type: str | None = None,
        look: Callable[[], Any] | None = None,
    ) -> Answer:
        """The answer to a request whose effects are gone afterwards.

        `watch`: whether the neighbor's rows stayed; `look` is called while the effects are there.
        """
        self.requests += 1
        sender = client or self.client(role)
        headers = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in call.headers.items()}
        body = "" if call.body is None else call.body
        if call.is_form:
            parts = {**call.body, "file": SimpleUploadedFile("rows.csv", call.body["file"].encode())}
            body, headers["content_type"] = encode_multipart(BOUNDARY, parts), MULTIPART_CONTENT
        if content_type is not None:
            headers["content_type"] = content_type
        if "HTTP_CONTENT_LENGTH" in headers:
            headers["CONTENT_LENGTH"] = headers.pop("HTTP_CONTENT_LENGTH")
        mail.outbox.clear()
        with listening() as lines, transaction.atomic():
            with CaptureQueriesContext(connection) as queries:
                answer = sender.generic(call.operation.method, call.url, body, **headers)
            text = b"".join(answer.streaming_content) if answer.streaming else answer.content
            found = Answer(
                answer.status_code,
                {name.lower(): value for name, value in answer.headers.items()},
                text.decode("utf-8", "replace"),
                len(queries),
            )
            if not connection.needs_rollback and found.ok:
                found.error = _would_not_commit()
            if watch and not connection.needs_rollback and not found.error:
                found.unchanged_neighbor = self.fingerprint() == self.neighbor
            if look is not None:
                found.seen = look()
            access_lines.flush()
            found.beside = "\n".join(
                [*lines, *(f"{letter.subject} {letter.body} {letter.to}" for letter in mail.outbox)]
            )
            transaction.set_rollback(True)
        return found

    def fill(self, entity: Entity) -> list[str]:
        """Up to `MANY` more records of ours; the ids of these, or of those that were there if none can be made."""
        with self.acme.world.acting() as actor:
            if entity.name in self.acme.chosen:
                return [str(made) for made in self.acme.make(entity, MANY)]
            if entity.name == "deal_stage_history":
                self.acme.make(entities["deal"], MANY)
                return [str(key) for key in view(entity, actor).records().values_list("pk", flat=True)]
        return [str(key) for key in self.acme.records[entity.name]]

    # --- the neighbor -----------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Remember which records are whose, and the state of the neighbor's rows."""
        for name, ours in self.acme.records.items():
            for mine, theirs in zip(ours, self.globex.records[name], strict=False):
                self.twins[str(mine)] = str(theirs)
        files = [stock.file_ids() for stock in (self.acme, self.globex)]
        for mine, theirs in zip(*files, strict=True):
            self.twins[str(mine)] = str(theirs)
        for role, user in self.acme.world.users.items():
            self.twins[str(user)] = str(self.globex.world.users[role])
        self.our_ids = self._ids(self.acme)
        self.their_ids = self._ids(self.globex)
        self.neighbor = self.fingerprint()

    def _tables(self) -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'company_id' "
                "WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition "
                "AND c.relnamespace = 'public'::regnamespace ORDER BY 1"
            )
            return [name for (name,) in cursor.fetchall()]

    def _ids(self, made: Stock) -> frozenset[str]:
        with_id = [name for name in self._tables() if name not in ("core_changelog", "core_changecontext")]
        union = " UNION ALL ".join(
            f'SELECT id::text FROM "{name}" WHERE company_id = %(c)s' for name in with_id
        )
        with system_context("which records are whose"), connection.cursor() as cursor:
            cursor.execute(union, {"c": made.world.company.pk})
            found = {record_id for (record_id,) in cursor.fetchall()}
        return frozenset({*found, str(made.world.company.pk), *map(str, made.world.users.values())})

    def fingerprint(self) -> Any:
        """The state of all the neighbor's rows, as one value."""
        company = self.globex.world.company.pk
        if not hasattr(self, "_fingerprint_sql"):
            parts = [
                f"SELECT '{name}', count(*), sum(hashtextextended(t::text, 0)) FROM \"{name}\" t "
                "WHERE company_id = %(c)s"
                for name in self._tables()
            ]
            parts.append(
                "SELECT 'core_company', 1, hashtextextended(t::text, 0) FROM core_company t WHERE id = %(c)s"
            )
            self._fingerprint_sql = " UNION ALL ".join(parts)
        with system_context("is the neighbor as before"):
            return connection.fetch_prepared(self._fingerprint_sql, {"c": company})  # type: ignore[attr-defined]

    # --- comparing --------------------------------------------------------------------------------------------------

    def leaks(self, answer: Answer, sent: str) -> list[str]:
        """What of the neighbor's can be seen in an answer, apart from what was sent."""
        seen = _without("\n".join([answer.text, *map(str, answer.headers.values()), answer.beside]), sent)
        found = [f"shows {match[0]!r}" for match in [CANARY.search(seen)] if match]
        found += [f"shows their id {known}" for known in set(_ID.findall(seen)) & self.their_ids]
        if not answer.unchanged_neighbor:
            found.append("changed rows of theirs")
        if answer.error:
            found.append(f"would fail at commit: {answer.error}")
        return found

    def outline(self, answer: Answer, sent: str) -> tuple[Any, ...]:
        """An answer without what may differ between two of the same kind."""
        headers = {
            name: _without(value, sent)
            for name, value in answer.headers.items()
            if name not in _VARYING_HEADERS
        }
        return (
            answer.status,
            self._plain(answer.text, sent),
            {n: self._plain(v, sent) for n, v in headers.items()},
        )

    def _plain(self, text: str, sent: str) -> str:
        text = _without(text, sent)
        for pattern, word in _NOISE:
            text = pattern.sub(word, text)
        return _ID.sub(lambda match: match[0] if match[0] in self.our_ids else "<new>", text)


# Between two values that are sent together.
BETWEEN = "\x1f"


def _without(text: str, sent: str) -> str:
    for value in sent.split(BETWEEN):
        slug = re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-")
        forms = {
            value,
            quote(value, safe=""),
            quote_plus(value),
            json.dumps(value)[1:-1],
            value.lower(),
            slug,
        }
        # The longest first: a slug may be a part of the others.
        for form in sorted(forms, key=len, reverse=True):
            if form:
                text = text.replace(form, "<sent>")
    return text


def _would_not_commit() -> str:
    try:
        connection.check_constraints()
    except Exception as error:
        return str(error)
    return ""
