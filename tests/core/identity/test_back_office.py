"""The back office: signing in by form, the company of each request."""

from __future__ import annotations

import pytest
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.utils import timezone

from core.changes import Rows
from core.identity.models import Company, Role, User
from core.identity.operations import create_roles
from core.kernel.transactions import unit_of_work
from core.rest.middleware import BackOfficeBackend, BackOfficeCompanyMiddleware, choose_company
from core.tenancy import context
from core.tenancy.context import system_context
from tests.core.identity.test_sessions import log_of, replaced
from tests.core.identity.world import PASSWORD, Firms


def sign_in(email: str, password: str = PASSWORD) -> tuple[Client, HttpResponse]:
    client = Client()
    answer = client.post("/admin/login/", {"username": email, "password": password, "next": "/admin/"})
    return client, answer


def request_of(firms: Firms, who: str, path: str = "/admin/") -> HttpRequest:
    request = RequestFactory().get(path)
    SessionMiddleware(lambda _: HttpResponse()).process_request(request)
    user = BackOfficeBackend().get_user(firms.acme.users[who])
    assert user is not None
    request.user = user
    return request


class TestBackOffice:
    def test_opens_with_the_right_password(self, firms):
        client, answer = sign_in("admin@acme.example")
        assert (answer.status_code, answer["Location"]) == (302, "/admin/")
        assert client.get("/admin/").status_code == 200

    def test_stays_closed_with_a_wrong_one_and_counts_it(self, firms):
        client, answer = sign_in("admin@acme.example", "wrong password")
        assert answer.status_code == 200
        assert client.get("/admin/").status_code == 302
        assert len(log_of(firms.acme, "login_failed")) == 1
        for _ in range(5):
            sign_in("admin@acme.example", "wrong password")
        assert sign_in("admin@acme.example")[1].status_code == 200, "blocked even with the right one"

    def test_closes_at_once_when_the_account_or_the_place_is_gone(self, firms):
        client, _ = sign_in("sales@acme.example")
        assert client.get("/admin/").status_code == 200
        replaced(firms.acme, "sales", is_active=False)
        assert client.get("/admin/").status_code == 403
        with system_context("test"), unit_of_work():
            User.objects.filter(email="sales@acme.example").update(is_active=False)
        assert client.get("/admin/").status_code == 302

    def test_closes_when_the_password_changed(self, firms):
        client, _ = sign_in("sales@acme.example")
        with system_context("test"), unit_of_work():
            user = User.objects.get(email="sales@acme.example")
            user.set_password("another long secret")
            user.save()
        assert client.get("/admin/").status_code == 302


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
        assert actor == request.actor
        assert actor.rights.record_scope == "own"

    def test_binds_the_company_that_was_chosen(self, firms):
        request = request_of(firms, "both")
        choose_company(request, "globex")
        seen = []
        self.answered(request, lambda _: seen.append(context.current_company_id()) or HttpResponse())
        assert seen == [firms.globex.company.pk]

    def test_lets_nobody_choose_a_company_of_others(self, firms):
        request = request_of(firms, "sales")
        with pytest.raises(PermissionDenied):
            choose_company(request, "globex")
        request.session["company_slug"] = "globex"
        seen = []
        self.answered(request, lambda _: seen.append(context.current_company_id()) or HttpResponse())
        assert seen == [firms.acme.company.pk]

    def test_leaves_other_paths_alone(self, firms):
        seen = []
        request = request_of(firms, "admin", "/api/v1/users/")
        self.answered(request, lambda _: seen.append(context.current().company_id) or HttpResponse())
        assert seen == [None]

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
