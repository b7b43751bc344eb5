"""The page of the seals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.admin import site
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from audit import queries
from audit.admin.lines import page_context
from audit.models import AuditSeal
from audit.operations.seals import header_of
from audit.sealing import checkpoints
from audit.sealing.proofs import digest_of
from audit.sealing.verifying import MOST_PROBLEMS, verify_company
from core.backoffice.writing import actor_of

SEALS_SHOWN = 50
# More entries than a request should hash; `audit_verify` takes any number.
MOST_VERIFIED = 300_000


def show_seals(request: HttpRequest) -> HttpResponse:
    """The seals with their state, and what is not sealed yet; POST verifies every entry."""
    actor = actor_of(request)
    queries.require_view(actor)
    found = list(AuditSeal.objects.defer("leaves", "salts", "log_ids").order_by("-number")[: SEALS_SHOWN + 1])
    last = found[0] if found else None
    waiting = queries.entries(actor)
    if last is not None:
        waiting = waiting.filter(pk__gt=last.until_id)
    sealed = AuditSeal.objects.aggregate(total=Sum("row_count"))["total"] or 0
    verified = None
    is_too_large = sealed > MOST_VERIFIED
    if request.method == "POST" and not is_too_large:
        verified = verify_company(actor.company_id)
    context = page_context(
        request,
        "Seals",
        rows=[{"seal": seal, "is_genuine": _is_genuine(seal)} for seal in found[:SEALS_SHOWN]],
        has_more=len(found) > SEALS_SHOWN,
        last=last,
        sealed=sealed,
        waiting=waiting.count(),
        verified=verified,
        problems=verified.problems[:SEALS_SHOWN] if verified else [],
        most=MOST_PROBLEMS,
        is_too_large=is_too_large,
        slug=_slug(request),
    )
    return TemplateResponse(request, "backoffice/audit_seals.html", context)


def _is_genuine(seal: AuditSeal) -> bool:
    """Whether the seal says what it said when this installation signed it."""
    digest = digest_of(header_of(seal))
    return digest == seal.digest and checkpoints.is_genuine(digest, seal.signature)


def _slug(request: HttpRequest) -> str:
    place: Mapping[str, Any] = site.each_context(request)
    return str(place["bo"].company.slug)
