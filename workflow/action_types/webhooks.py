"""Calling a web address: signed after Standard Webhooks, never inside our own network, safe to repeat."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.conf import settings
from pydantic import Field

from core.changes.rows import to_json
from core.kernel.errors import Fault
from core.outbound import AddressRefused, CallFailed, call, check_url
from workflow import templates
from workflow.definitions import Setting
from workflow.registries import ACTION_TYPES, ActionType
from workflow.schemas import Part
from workflow.steps import Step

MAX_BODY_BYTES = 256 * 1024
SHOWN_BYTES = 1_000


class CallWebhook(Part):
    """Sends `body` as JSON by POST. Headers `webhook-id`, `webhook-timestamp` and `webhook-signature` prove who sent it."""

    url: str = Field(max_length=2_000, examples=["https://example.com/hook"])
    body: dict[str, Any] = Field(default_factory=dict)


def secrets_of(workflow_id: UUID) -> list[str]:
    """What a workflow's calls are signed with, in the form that libraries of Standard Webhooks take; the one in use first.

    Derived from the installation's secret, so that none is stored; the old ones sign as well while the secret is replaced.
    """
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    digests = (
        hmac.new(str(key).encode(), f"workflow webhook {workflow_id}".encode(), hashlib.sha256).digest()
        for key in keys
    )
    return [f"whsec_{base64.b64encode(digest).decode()}" for digest in digests]


def signature(secret: str, key: str, timestamp: int, body: bytes) -> str:
    """`v1,…` of Standard Webhooks over the id, the time and the body."""
    raw = base64.b64decode(secret.removeprefix("whsec_"))
    signed = b".".join((key.encode(), str(timestamp).encode(), body))
    return f"v1,{base64.b64encode(hmac.new(raw, signed, hashlib.sha256).digest()).decode()}"


def _check(setting: Setting, payload: CallWebhook) -> Iterable[Fault]:
    if templates.is_template(payload.url) or "{{" in payload.url:
        yield Fault("url", "bad_template", "The address is fixed; values go into the body.")
        return
    try:
        check_url(payload.url)
    except AddressRefused as refusal:
        yield Fault("url", refusal.code, refusal.detail)
    if not payload.url.startswith("https://") and not settings.DEBUG:
        yield Fault("url", "address_refused", "An address that begins with https:// is expected.")


def _body(step: Step, payload: Mapping[str, Any]) -> dict[str, Any]:
    if payload.get("body"):
        return dict(payload["body"])
    return {
        "type": step.event.get("type") or "workflow.run",
        "timestamp": step.now.isoformat(),
        "data": {
            "workflow": str(step.workflow_id),
            "run": str(step.run_id) if step.run_id else None,
            "entity": step.entity_type,
            "id": str(step.record_id) if step.record_id else None,
        },
    }


def _call(step: Step, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    content = to_json(_body(step, payload)).encode()
    if len(content) > MAX_BODY_BYTES:
        raise CallFailed(f"A body may have {MAX_BODY_BYTES} bytes.", code="body_too_large")
    timestamp = int(step.now.timestamp())
    signatures = [signature(secret, step.key, timestamp, content) for secret in secrets_of(step.workflow_id)]
    headers = {
        "content-type": "application/json",
        "user-agent": "AtriumCRM-Webhooks/1",
        "webhook-id": step.key,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
        "idempotency-key": step.key,
    }
    answer = call("POST", payload["url"], headers=headers, content=content)
    if not 200 <= answer.status < 300:
        raise CallFailed(f"The other side answered {answer.status}.", code="call_refused")
    return {"status": answer.status, "answer": answer.body[:SHOWN_BYTES].decode("utf-8", "replace")}


ACTION_TYPES.register(
    "call_webhook",
    ActionType(
        name="call_webhook",
        label="Call a web address",
        description="Sends JSON to another system, signed after Standard Webhooks, and again when it fails.",
        payload=CallWebhook,
        run=_call,
        summarize=lambda payload: f"Call {payload.get('url')}",
        check=_check,
        preview=lambda step, payload: {"url": payload["url"], "body": _body(step, payload)},
        leaves_database=True,
    ),
)
