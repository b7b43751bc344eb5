"""`/audit/seals/`: what the change log was sealed with, and proofs that an entry is in it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from django.db.models import QuerySet
from django_filters import FilterSet
from pydantic import BaseModel, ConfigDict
from rest_framework.request import Request
from rest_framework.response import Response

from audit.models import AuditSeal
from audit.operations.seals import header_of
from audit.rights import VIEW_AUDIT
from audit.sealing.verifying import proof_of
from core.kernel.errors import Fault, Invalid, NotFound
from core.rest.filtered_lists import FilteredListView
from core.rest.filters import TimeFilter
from core.rest.schema import documented
from core.rest.views import ApiView


class SealDocument(BaseModel):
    """A seal: `root` of the Merkle tree of `row_count` entries; its digest covers it and the seal before it (`previous`)."""

    model_config = ConfigDict(extra="forbid")

    id: UUID
    number: int
    row_count: int
    root: str
    previous: str
    digest: str
    signature: str
    sealed_at: datetime


class ProofStep(BaseModel):
    model_config = ConfigDict(extra="forbid")

    side: Literal["left", "right"]
    hash: str


class ProofDocument(BaseModel):
    """That an entry is in a seal: hash the leaf with each step, on its side, and compare with the root."""

    model_config = ConfigDict(extra="forbid")

    log_id: int
    leaf: str
    path: list[ProofStep]
    seal: SealDocument
    is_intact: bool


def seal_document(seal: AuditSeal) -> SealDocument:
    said = header_of(seal)
    names = ("number", "row_count", "root", "previous", "digest", "signature")
    return SealDocument(id=seal.pk, sealed_at=seal.sealed_at, **{name: said[name] for name in names})


class SealFilters(FilterSet):
    sealed_at__gte = TimeFilter("sealed_at", "gte", label="Sealed at this time or later.")
    sealed_at__lt = TimeFilter("sealed_at", "lt", label="Sealed before this time.")


class SealsView(FilteredListView):
    """The seals of the company's change log, the newest first."""

    verbs = {"get": VIEW_AUDIT}
    filterset_class = SealFilters
    orderings = {"number": "number"}
    default_ordering = "-number"
    document = SealDocument

    def rows(self) -> QuerySet[Any]:
        found: QuerySet[Any] = AuditSeal.objects.defer("leaves", "salts", "log_ids")
        return found

    def documents(self, rows: Sequence[AuditSeal]) -> list[SealDocument]:
        return [seal_document(seal) for seal in rows]


class ProofView(ApiView):
    """The proof that an entry is in a seal."""

    verbs = {"get": VIEW_AUDIT}

    @documented(
        response=ProofDocument,
        query={"log": {"type": "integer", "minimum": 1, "description": "The entry."}},
        required_query=("log",),
    )
    def get(self, request: Request, seal_id: str) -> Response:
        text = request.query_params.get("log", "")
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise Invalid(faults=[Fault("log", "not_an_integer", "The number of an entry is expected.")])
        try:
            seal = AuditSeal.objects.filter(pk=UUID(seal_id)).first()
        except ValueError:
            seal = None
        if seal is None:
            raise NotFound()
        proof = proof_of(seal, int(text))
        document = ProofDocument(
            log_id=proof.log_id,
            leaf=proof.leaf.hex(),
            path=[ProofStep(side=side, hash=found.hex()) for side, found in proof.path],  # type: ignore[arg-type]
            seal=seal_document(seal),
            is_intact=proof.is_intact,
        )
        return Response(document.model_dump(mode="json"))
