"""`Idempotency-Key`: the first answer is stored in the transaction of its effect and replayed for 24 hours.

A refused request stores nothing, so that it may be sent again corrected under the same key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.http import HttpResponse
from rest_framework.request import Request

from core.kernel.errors import Conflict, Invalid, Unprocessable
from core.kernel.faultpoints import declare, fault
from core.kernel.ids import uuid7
from core.kernel.transactions import needs_transaction
from core.rest.models import IdempotentAnswer
from core.tenancy.actors import Actor

declare("request.before_commit", "request.after_commit")

# The header among a request's `META`.
META_NAME = "HTTP_IDEMPOTENCY_KEY"
MAX_KEY_LENGTH = 255
KEPT_FOR = timedelta(hours=24)
WAIT_MS = 5_000
KEPT_HEADERS = ("Location", "ETag", "Content-Type")
REPLAYED = "Idempotency-Replayed"


def _principal(actor: Actor) -> str:
    return f"key:{actor.api_key_id}" if actor.api_key_id else f"user:{actor.user_id}"


def _fingerprint(request: Request, body: bytes) -> bytes:
    # Parameters of the type are left out: each sending of a form has a boundary of its own.
    media_type = (request.content_type or "").partition(";")[0]
    facts = "\n".join((request.method or "", request.get_full_path(), media_type, request.version or ""))
    return hashlib.sha256(facts.encode("utf-8", "surrogateescape") + b"\n" + body).digest()


def once(
    request: Request, actor: Actor, body: bytes, now: datetime, work: Callable[[], HttpResponse]
) -> HttpResponse:
    """`work`'s answer, or the stored one of the same request. Needs a transaction.

    A duplicate under way is waited for a few seconds, then answered 409. Raises: Unprocessable when the key was used for
    another request.
    """
    needs_transaction()
    key = request.META[META_NAME]
    if not 0 < len(key) <= MAX_KEY_LENGTH or not key.isprintable():
        raise Invalid(
            f"An Idempotency-Key has 1 to {MAX_KEY_LENGTH} printable characters.", code="bad_idempotency_key"
        )
    fingerprint = _fingerprint(request, body)
    mine = uuid7()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('lock_timeout'), set_config('lock_timeout', %s, true)", [str(WAIT_MS)]
        )
        usual = cursor.fetchone()[0]
        cursor.execute(
            "INSERT INTO core_idempotentanswer (id, company_id, principal, key, fingerprint, status, headers, body, "
            "created_at, updated_at, version) VALUES (%s, %s, %s, %s, %s, 0, '{}', '', %s, %s, 1) "
            "ON CONFLICT (company_id, principal, key) DO UPDATE SET id = excluded.id, "
            "fingerprint = excluded.fingerprint, status = 0, created_at = excluded.created_at "
            "WHERE core_idempotentanswer.created_at < %s RETURNING id",
            [mine, actor.company_id, _principal(actor), key, fingerprint, now, now, now - KEPT_FOR],
        )
        is_first = cursor.fetchone() is not None
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [usual])
    if not is_first:
        return _replay(actor, key, fingerprint)
    answer = work()
    IdempotentAnswer.objects.filter(id=mine).update(
        status=answer.status_code,
        headers={name: answer[name] for name in KEPT_HEADERS if name in answer},
        body=answer.content,
    )
    fault("request.before_commit")
    transaction.on_commit(lambda: fault("request.after_commit"))
    return answer


def forget_old(now: datetime) -> int:
    """Remove the company's answers that are too old to be replayed. Needs a transaction."""
    needs_transaction()
    return IdempotentAnswer.objects.filter(created_at__lt=now - KEPT_FOR).delete()[0]


def _replay(actor: Actor, key: str, fingerprint: bytes) -> HttpResponse:
    kept = IdempotentAnswer.objects.filter(principal=_principal(actor), key=key).first()
    if kept is None:
        raise Conflict("The first request with this key is still under way.", code="busy", retry_after=1)
    if bytes(kept.fingerprint) != fingerprint:
        raise Unprocessable(
            "This Idempotency-Key was used for another request.", code="idempotency_key_reused"
        )
    answer = HttpResponse(bytes(kept.body), status=kept.status, content_type=kept.headers.get("Content-Type"))
    for name, value in kept.headers.items():
        answer[name] = value
    answer[REPLAYED] = "true"
    return answer
