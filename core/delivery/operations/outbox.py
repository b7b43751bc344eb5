"""Writing mails: rows in the caller's transaction, and a job that sends them once it is committed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from core.changes.rows import to_json
from core.delivery.addresses import ascii_address, one_line, read_address, read_headers, read_mailbox
from core.jobs.operations import NewJob, enqueue_many
from core.kernel.errors import Fault, Invalid
from core.kernel.ids import uuid7
from core.kernel.transactions import needs_transaction
from core.observability.correlation import current_id
from core.tenancy.actors import Actor
from core.tenancy.context import current, system_context

SEND = "delivery.send"
# Mails that one job sends, over one connection.
PER_JOB = 100
# Mails that one statement writes.
PER_STATEMENT = 1_000
MAX_KEY = 200
MAX_SUBJECT = 400
MAX_BODY = 5_000_000
# All files of one mail; servers refuse more than some 25 MB after encoding.
MAX_FILES_BYTES = 15_000_000
_CONTENT_TYPE = r"[\w.+-]+/[\w.+-]+"


@dataclass(frozen=True)
class Attachment:
    """A file that goes along. With a `content_id` it is an image that html shows as `<img src="cid:…">`."""

    name: str
    content: bytes
    content_type: str = "application/octet-stream"
    content_id: str = ""


@dataclass(frozen=True)
class NewMail:
    """A mail to be written. `key` names what it is about: one key is sent to one recipient once, however often it is asked.

    `sender`, `cc` and `reply_to` are `name@example.com` or `Name <name@example.com>`; without a sender the installation's
    own is taken. A confidential mail loses its body once it has left.
    """

    kind: str
    key: str
    to: str
    subject: str
    text: str
    html: str = ""
    to_name: str = ""
    sender: str = ""
    cc: Sequence[str] = ()
    reply_to: Sequence[str] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    attachments: Sequence[Attachment] = ()
    entity_type: str = ""
    entity_id: UUID | None = None
    is_confidential: bool = False


def send_mail(*, actor: Actor | None, mail: NewMail, now: datetime) -> UUID | None:
    """Write one mail; its id, or None when this key was sent to this recipient before. See `send_many`."""
    made = send_many(actor=actor, mails=[mail], now=now)
    return made[0] if made else None


def send_many(*, actor: Actor | None, mails: Sequence[NewMail], now: datetime) -> list[UUID]:
    """Write mails of the actor's company (None: of the installation) and have them sent after the commit.

    Needs a transaction. A handful of statements for a thousand mails. Returns the ids of those that are new.
    Raises: Invalid with the faults of all mails, the place of each in its path.
    """
    needs_transaction()
    documents, faults = [], []
    for place, mail in enumerate(mails):
        try:
            documents.append(_document(mail, now))
        except Invalid as refusal:
            faults += [fault.below(str(place)) for fault in refusal.faults]
    if faults:
        raise Invalid(faults=faults)
    company_id = actor.company_id if actor is not None else None
    made: list[UUID] = []
    with _reach(company_id):
        files = _store_files(company_id, [item for mail in mails for item in mail.attachments], now)
        for document, mail in zip(documents, mails, strict=True):
            document["attachments"] = [_reference(item, files) for item in mail.attachments]
        for start in range(0, len(documents), PER_STATEMENT):
            made += _insert(actor, company_id, documents[start : start + PER_STATEMENT], now)
    enqueue_sending(made, now=now)
    return made


def enqueue_sending(ids: Sequence[UUID], *, now: datetime, due_at: datetime | None = None) -> None:
    """Have the mails sent, after the commit. Needs a transaction."""
    jobs = [
        NewJob({"emails": [str(item) for item in ids[start : start + PER_JOB]]}, due_at=due_at)
        for start in range(0, len(ids), PER_JOB)
    ]
    if jobs:
        enqueue_many(kind=SEND, jobs=jobs, now=now)


def _reach(company_id: UUID | None) -> Any:
    """Mails of the installation are written under the platform role, whoever asks."""
    now = current()
    if company_id is None and not now.system:
        return system_context("write a mail of the installation", source=now.source)
    return nullcontext()


def _document(mail: NewMail, now: datetime) -> dict[str, Any]:
    """The mail as a row, checked as a whole.

    Raises: Invalid with all faults.
    """
    faults: list[Fault] = []

    def read(check: Any, *args: Any) -> Any:
        try:
            return check(*args)
        except Invalid as refusal:
            faults.extend(refusal.faults)
            return None

    sender = read(read_mailbox, mail.sender, "sender") if mail.sender else settings.DEFAULT_FROM_EMAIL
    mail_id = uuid7()
    document = {
        "id": mail_id,
        "kind": read(one_line, mail.kind, "kind", 64),
        "key": read(one_line, mail.key, "key", MAX_KEY),
        "recipient": read(read_address, mail.to, "to"),
        "recipient_name": read(one_line, " ".join(mail.to_name.split()), "to_name", 200),
        "sender": sender,
        "cc": [read(read_mailbox, item, f"cc.{place}") for place, item in enumerate(mail.cc)],
        "reply_to": [
            read(read_mailbox, item, f"reply_to.{place}") for place, item in enumerate(mail.reply_to)
        ],
        "subject": read(one_line, mail.subject, "subject", MAX_SUBJECT),
        "text": mail.text,
        "html": mail.html,
        "headers": read(read_headers, mail.headers, "headers"),
        "is_confidential": mail.is_confidential,
        "entity_type": mail.entity_type,
        "entity_id": mail.entity_id,
        "message_id": f"<{mail_id}@{ascii_address(sender or '').rpartition('@')[2] or 'localhost'}>",
    }
    if not mail.key:
        faults.append(Fault("key", "required", "A key is required."))
    for name in ("text", "html"):
        if "\x00" in document[name]:
            faults.append(Fault(name, "invalid_characters", "NUL characters are not allowed."))
        if len(document[name]) > MAX_BODY:
            faults.append(Fault(name, "too_long", f"A body has at most {MAX_BODY} characters."))
    faults += _file_faults(mail.attachments)
    if faults:
        raise Invalid(faults=faults)
    return document


def _file_faults(files: Sequence[Attachment]) -> Iterator[Fault]:
    if sum(len(item.content) for item in files) > MAX_FILES_BYTES:
        yield Fault("attachments", "too_large", f"The files of a mail have at most {MAX_FILES_BYTES} bytes.")
    for place, item in enumerate(files):
        for name, text in (("name", item.name), ("content_id", item.content_id)):
            try:
                one_line(text, f"attachments.{place}.{name}", 200)
            except Invalid as refusal:
                yield from refusal.faults
        if not re.fullmatch(_CONTENT_TYPE, item.content_type):
            yield Fault(
                f"attachments.{place}.content_type", "invalid", "A type such as image/png is expected."
            )


def _store_files(company_id: UUID | None, files: Sequence[Attachment], now: datetime) -> dict[bytes, UUID]:
    """The ids of the files' bytes, by digest; each content is stored once."""
    contents = {hashlib.sha256(item.content).digest(): item.content for item in files}
    stored = {}
    with connection.cursor() as cursor:
        # In one order, so that two mails with the same files do not wait for each other.
        for digest, content in sorted(contents.items()):
            cursor.execute(
                "INSERT INTO core_emailfile (id, company_id, created_at, digest, content, last_used_at) "
                "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (company_id, digest) "
                "DO UPDATE SET last_used_at = greatest(core_emailfile.last_used_at, excluded.last_used_at) RETURNING id",
                [uuid7(), company_id, now, digest, content, now],
            )
            stored[digest] = cursor.fetchone()[0]
    return stored


def _reference(item: Attachment, files: Mapping[bytes, UUID]) -> dict[str, Any]:
    return {
        "file": files[hashlib.sha256(item.content).digest()],
        "name": item.name,
        "content_type": item.content_type,
        "size": len(item.content),
        "content_id": item.content_id,
    }


def _insert(
    actor: Actor | None, company_id: UUID | None, documents: Sequence[Mapping[str, Any]], now: datetime
) -> list[UUID]:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO core_outgoingemail (id, company_id, created_at, created_by_id, kind, key, recipient, recipient_name,
              sender, cc, reply_to, subject, text, html, headers, attachments, is_confidential, entity_type, entity_id, state,
              due_at, attempts, last_error, message_id, transport, correlation_id)
            SELECT x.id, %(company)s::uuid, %(now)s, %(user)s::uuid, x.kind, x.key, x.recipient, x.recipient_name, x.sender,
              x.cc, x.reply_to, x.subject, x.text, x.html, x.headers, x.attachments, x.is_confidential, x.entity_type,
              x.entity_id, 'pending', %(now)s, 0, '', x.message_id, '', %(correlation)s
            FROM jsonb_to_recordset(%(mails)s::jsonb) AS x(id uuid, kind text, key text, recipient text, recipient_name text,
              sender text, cc text[], reply_to text[], subject text, text text, html text, headers jsonb, attachments jsonb,
              is_confidential boolean, entity_type text, entity_id uuid, message_id text)
            ON CONFLICT (company_id, key, recipient) DO NOTHING
            RETURNING id""",
            {
                "company": company_id,
                "now": now,
                "user": actor.user_id if actor is not None else None,
                "correlation": current_id(),
                "mails": to_json(list(documents)),
            },
        )
        return [mail_id for (mail_id,) in cursor.fetchall()]
