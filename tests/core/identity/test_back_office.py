"""The back office: signing in by form, the company of each request."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import authenticate, get_user
from django.contrib.auth import login as log_in
from django.contrib.sessions.middleware import SessionMiddleware
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.utils import timezone

from core.backoffice.middleware import CHOSEN, BackOfficeBackend, BackOfficeCompanyMiddleware
from core.changes import Rows
from core.identity.models import Company, Role, User
from core.identity.operations import create_roles
from core.kernel.transactions import unit_of_work
from core.tenancy import context
from core.tenancy.context import system_context
from tests.core.identity.test_sessions import log_of, login
from tests.worlds import PASSWORD, Worlds


def request_of(firms: Worlds, who: str, path: str = "/admin/") -> Any:
    request = RequestFactory().get(path)
    SessionMiddleware(lambda _: HttpResponse()).process_request(request)
    user = BackOfficeBackend().get_user(firms.acme.users[who])
    assert user is not None
    request.user = user
    return request


class TestBackOfficeBackend:
    def authenticated(self, email: str, password: str = PASSWORD) -> User | None:
        request = RequestFactory().post("/admin/login/")
        return authenticate(request, username=email, password=password)

    def test_knows_who_has_the_right_password(self, firms):
        user = self.authenticated("Sales@acme.test")
        assert user is not None
        assert user.pk == firms.acme.users["sales"]

    def test_counts_wrong_ones_with_those_of_the_api(self, firms):
        for _ in range(3):
            assert self.authenticated("sales@acme.test", "wrong password") is None
        assert [login("sales@acme.test", "wrong password").status_code for _ in range(3)] == [
            401,
            401,
            429,
        ]
        assert self.authenticated("sales@acme.test") is None
        failures = log_of(firms.acme, "login_failed")
        assert [entry.context.source for entry in failures] == ["admin"] * 3 + ["api"] * 2

    def test_forgets_a_session_when_the_account_is_closed_or_the_password_changed(self, firms):
        for change in ({"is_active": False}, {"password": "another"}):
            user = self.authenticated("sales@acme.test")
            assert user is not None
            request = request_of(firms, "sales")
            BackOfficeCompanyMiddleware(lambda _: HttpResponse())
            log_in(request, user)
            assert get_user(request).pk == user.pk
            with system_context("test"), unit_of_work():
                before = {name: getattr(user, name) for name in change}
                User.objects.filter(pk=user.pk).update(**change)
            assert get_user(request).is_anonymous
            with system_context("test"), unit_of_work():
                User.objects.filter(pk=user.pk).update(**before)


def company_seen(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(context.current().company_id))


class TestBackOfficeCompanyMiddleware:
    def answered(self, request: HttpRequest, view) -> HttpResponse:
        return BackOfficeCompanyMiddleware(view)(request)

    def test_binds_the_company_joined_first_and_a_transaction(self, firms):
        seen = []

        def view(request):
            now = context.current()
            seen.append((now.company_id, now.source, now.actor, connection.in_atomic_block))
            return HttpResponse()

        request = request_of(firms, "both")
        self.answered(request, view)
        [(company_id, source, actor, in_transaction)] = seen
        assert (company_id, source, in_transaction) == (firms.acme.company.pk, "admin", True)
        assert actor is not None
        assert actor == request.actor
        assert actor.rights.record_scope == "own"

    def test_binds_the_company_that_was_chosen(self, firms):
        request = request_of(firms, "both")
        request.session[CHOSEN] = "globex"
        assert self.answered(request, company_seen).content.decode() == str(firms.globex.company.pk)

    def test_ignores_a_company_of_others(self, firms):
        request = request_of(firms, "sales")
        request.session[CHOSEN] = "globex"
        assert self.answered(request, company_seen).content.decode() == str(firms.acme.company.pk)

    def test_leaves_other_paths_alone(self, firms):
        request = request_of(firms, "admin", "/api/v1/users/")
        assert self.answered(request, company_seen).content == b"None"

    @pytest.mark.parametrize(("status", "kept"), [(200, True), (302, True), (400, False), (500, False)])
    def test_undoes_what_a_failing_request_wrote(self, committed_firms, status, kept):
        def view(request):
            rows = Rows.of(Role, [{"name": "Written"}])
            create_roles(actor=request.actor, rows=rows, now=timezone.now()).raise_if_refused()
            return HttpResponse(status=status)

        self.answered(request_of(committed_firms, "admin"), view)
        with system_context("test"), unit_of_work():
            assert Role.objects.filter(name="Written").exists() is kept

    def test_refuses_a_company_that_is_closed(self, firms):
        with system_context("test"), unit_of_work():
            Company.objects.filter(slug="acme").update(is_active=False)
        answer = self.answered(request_of(firms, "sales"), lambda _: HttpResponse())
        assert answer.status_code == 403
