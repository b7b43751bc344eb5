"""What is said of seals outside the database: signatures by a key that it does not hold, a log line, a file.

Whoever may write to the database could make other seals for other entries; not ones with these signatures, and with the key not
ones that fit what the file and the log's collector have already.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.utils.encoding import force_bytes

from audit.sealing.proofs import read_checkpoints

_log = structlog.get_logger("atrium.audit")


@lru_cache(maxsize=1)
def _keys() -> tuple[bytes, ...]:
    """The key in use first; seals of former ones stay genuine while they are among the fallbacks."""
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return tuple(hashlib.sha256(b"audit seals " + force_bytes(secret)).digest() for secret in secrets)


def sign(digest: str) -> str:
    return hmac.new(_keys()[0], digest.encode(), "sha256").hexdigest()


def is_genuine(digest: str, signature: str) -> bool:
    return any(
        hmac.compare_digest(hmac.new(key, digest.encode(), "sha256").hexdigest(), signature)
        for key in _keys()
    )


def publish(seal: dict[str, Any]) -> None:
    """Say outside the database what a seal is. Call it after the commit."""
    said = {
        name: seal[name] for name in ("company", "number", "digest", "row_count", "sealed_at", "signature")
    }
    _log.info("audit seal", **said)
    if settings.AUDIT_CHECKPOINT_FILE:
        with Path(settings.AUDIT_CHECKPOINT_FILE).open("a", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(json.dumps(said, sort_keys=True) + "\n")


def published() -> dict[tuple[str, int], str]:
    """The digests of the checkpoint file, by company and number; empty when there is none."""
    path = settings.AUDIT_CHECKPOINT_FILE
    if not path or not Path(path).exists():
        return {}
    with Path(path).open(encoding="utf-8") as file:
        return read_checkpoints(file)
