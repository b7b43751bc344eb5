"""The back office: who is signed in by cookie, in which company, in one transaction for each request."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.signals import user_logged_in
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from core.identity.models import Company, User
from core.identity.operations import check_credentials
from core.identity.queries import list_actors_of_user
from core.kernel.errors import DomainError
from core.kernel.transactions import unit_of_work
from core.observability import correlation
from core.rest.addresses import client_ip
from core.tenancy.actors import Actor, Rights
from core.tenancy.context import Origin, actor_context, system_context

SOURCE = "admin"
# The key of the session that keeps the slug of the company chosen.
CHOSEN = "company_slug"
# Says that this browser has signed in before, so that strangers' wrong passwords do not keep it out.
DEVICE_COOKIE = "device"
VISITOR_RIGHTS = Rights(frozenset({"read", "analytics"}), "all")
CLIENT_ERROR = 400


def origin_of(request: HttpRequest) -> Origin:
    return Origin(client_ip(request), request.META.get("HTTP_USER_AGENT", ""), correlation.current_id())


class BackOfficeBackend(BaseBackend):
    """Sign-in by form: the same throttle, hashing and facts as the API's."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **_: Any
    ) -> User | None:
        """Raises: PermissionDenied, which the form shows as a wrong password, for whoever tries too often."""
        if username is None or password is None:
            return None
        origin = origin_of(request) if request is not None else Origin()
        try:
            with system_context("sign-in", source=SOURCE, origin=origin):
                return check_credentials(
                    email=username,
                    password=password,
                    device=request.COOKIES.get(DEVICE_COOKIE, "") if request is not None else "",
                    now=timezone.now(),
                    source=SOURCE,
                )
        except DomainError as refusal:
            raise PermissionDenied(refusal.detail) from None

    def get_user(self, user_id: UUID) -> User | None:
        with system_context("reading a session", source=SOURCE), unit_of_work():
            return User.objects.filter(pk=user_id, is_active=True).first()


@cache
def _home() -> str:
    return reverse("admin:index")


class BackOfficeCompanyMiddleware:
    """Binds the person's company to each request of the back office, and undoes what a failing one wrote.

    The company is the one chosen (`companies.choose`), else the one joined first. Rights are read on every request.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        # It writes outside any company, where nobody may; `check_credentials` remembers the sign-in itself.
        user_logged_in.disconnect(dispatch_uid="update_last_login")

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith(_home()):
            return self.get_response(request)
        if not request.user.is_authenticated or request.path_info in (
            reverse("admin:login"),
            reverse("admin:logout"),
            reverse("admin:password_reset"),
            reverse("admin:password_reset_new"),
            reverse("admin:invitation"),
            reverse("admin:registration"),
        ):
            return self.get_response(request)
        actor = find_actor(request)
        if actor is None:
            return self._without_company(request)
        request.actor = actor  # type: ignore[attr-defined]
        correlation.identify(user_id=actor.user_id, company_id=actor.company_id)
        with (
            actor_context(actor, source=SOURCE, origin=origin_of(request)),
            timezone.override(ZoneInfo(actor.zone)),
        ):
            if request.path_info == reverse("admin:own_password"):
                # Its operation commits by itself: a wrong password stays counted.
                return self.get_response(request)
            return self._in_transaction(request)

    def _in_transaction(self, request: HttpRequest) -> HttpResponse:
        with transaction.atomic():
            response = self.get_response(request)
            if response.status_code >= CLIENT_ERROR:
                transaction.set_rollback(True)
            return response

    def _without_company(self, request: HttpRequest) -> HttpResponse:
        """Staff of the installation choose one first; for everyone else there is nothing here."""
        if not request.user.is_platform_staff:  # type: ignore[union-attr]
            return HttpResponseForbidden("You are not an active member of any company.")
        if request.path_info in (reverse("admin:companies"), reverse("admin:choose_company")):
            return self.get_response(request)
        return HttpResponseRedirect(reverse("admin:companies"))


def find_actor(request: HttpRequest) -> Actor | None:
    """Who the signed-in person is in the company they chose, else in the one they joined first."""
    slug = request.session.get(CHOSEN, "")
    user: Any = request.user
    actors = list_actors_of_user(user.pk)
    if slug and slug not in actors and user.is_platform_staff:
        return _visitor(user, slug)
    return actors.get(slug) or next(iter(actors.values()), None)


def _visitor(user: User, slug: str) -> Actor | None:
    """Staff inside a company that is not theirs: they look and change nothing. The entry has been recorded."""
    with system_context("staff visits a company", source=SOURCE), unit_of_work():
        company = Company.objects.filter(slug=slug, is_active=True).first()
    if company is None:
        return None
    return Actor(company.pk, user.pk, rights=VISITOR_RIGHTS, zone=company.timezone)
