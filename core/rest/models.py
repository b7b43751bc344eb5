"""Answers kept for retries."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from core.tenancy.models import CompanyIsolatedModel


class IdempotentAnswer(CompanyIsolatedModel):
    """The first answer to an `Idempotency-Key`, written in the transaction of its effect and kept for a day."""

    # "user:<id>" or "key:<id>": the same key of two callers is two keys.
    principal = models.CharField(max_length=64)
    key = models.CharField(max_length=255)
    # SHA-256 of method, route and body.
    fingerprint = models.BinaryField(max_length=32)
    status = models.PositiveSmallIntegerField(default=0)
    headers = models.JSONField(default=dict)
    body = models.BinaryField(default=b"")

    # Machinery of the transport; the effect itself is logged.
    logged = False

    class Meta(CompanyIsolatedModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["company", "principal", "key"], name="idempotent_answer_unique"),
        ]
        indexes: ClassVar = [models.Index(fields=["created_at"], name="idempotent_answer_age")]

    def __str__(self) -> str:
        return self.key
