"""Which company a person works in: their memberships, and, for staff of the installation, any one by recorded entry."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import Q
from django.http import HttpRequest

from core.backoffice.middleware import CHOSEN, SOURCE, origin_of
from core.changes.facts import record_fact
from core.delivery.queries import count_unread
from core.identity.models import Company, User
from core.identity.queries import CompanyBrief, get_profile, list_actors_of_user
from core.kernel.errors import NotFound
from core.kernel.transactions import unit_of_work
from core.tenancy.actors import Actor
from core.tenancy.context import actor_context, system_context

COMPANIES_SHOWN = 100


@dataclass(frozen=True)
class Place:
    """Where and as what the person of a request works."""

    company: Company
    role_name: str
    companies: tuple[CompanyBrief, ...]
    is_visiting: bool
    is_platform_staff: bool
    full_name: str
    unread_count: int


def current(request: HttpRequest) -> Place:
    """Read once for each request."""
    known: Place | None = getattr(request, "backoffice_place", None)
    if known is None:
        actor: Actor = request.actor  # type: ignore[attr-defined]
        profile = get_profile(actor)
        known = Place(
            profile.company,
            profile.role_name,
            profile.companies,
            is_visiting=actor.membership_id is None,
            is_platform_staff=profile.user.is_platform_staff,
            full_name=str(profile.user),
            unread_count=count_unread(actor),
        )
        request.backoffice_place = known  # type: ignore[attr-defined]
    return known


def choose(request: HttpRequest, slug: str) -> None:
    """Work in another company from the next request on. Staff's entry into a company that is not theirs is recorded.

    Raises: NotFound, alike for what is not there and what is not theirs.
    """
    user: Any = request.user
    if slug not in list_actors_of_user(user.pk):
        if not user.is_platform_staff:
            raise NotFound("There is no such company for you.")
        _enter(request, user, slug)
    request.session[CHOSEN] = slug


def _enter(request: HttpRequest, user: User, slug: str) -> None:
    with system_context("staff enters a company", source=SOURCE), unit_of_work():
        company = Company.objects.filter(slug=slug, is_active=True).first()
    if company is None:
        raise NotFound("There is no such company for you.")
    visitor = Actor(company.pk, user.pk)
    with actor_context(visitor, source=SOURCE, origin=origin_of(request)), unit_of_work():
        record_fact(
            action="platform_staff_entered",
            entity_type="company",
            entity_id=company.pk,
            entity_name=company.name,
            details={"user": str(user.pk), "email": user.email, "at": datetime.now(UTC)},
            description="Staff of the installation entered this company's back office.",
            is_sensitive=True,
        )


def list_all(term: str) -> list[Company]:
    """Companies of the installation by name."""
    with system_context("staff lists the companies", source=SOURCE), unit_of_work():
        found = Company.objects.order_by("name", "pk")
        if term.strip():
            found = found.filter(Q(name__icontains=term.strip()) | Q(slug__icontains=term.strip()))
        return list(found[:COMPANIES_SHOWN])
