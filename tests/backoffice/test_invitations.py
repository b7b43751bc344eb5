"""An invitation from the form to the first page of the new member, and the page for a person with an account."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from django.utils import timezone

from core.delivery.models import OutgoingEmail
from core.identity.models import Invitation
from core.identity.operations.proof import issue_link
from core.kernel.transactions import unit_of_work
from core.tenancy.context import system_context

pytestmark = pytest.mark.django_db(transaction=True)


def look(page, name: str) -> None:
    """Kept where `ATRIUM_SHOTS` says."""
    if folder := os.environ.get("ATRIUM_SHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


@pytest.mark.parametrize("width", [390, 1280])
def test_a_new_colleague_joins_by_the_link_of_the_mail(acme, globex, visitor, width):
    role = acme.role("sales").pk
    acme.client().post("/api/v1/users/", {"email": "nina@people.test", "role": str(role)})
    with system_context("the link of a mail"), unit_of_work():
        mail = OutgoingEmail.objects.get(kind="invitation")
    token = re.search(r"token=(\S+)", mail.text)
    assert token is not None
    me = visitor(width)
    page = me.page
    me.go(f"/admin/invitation/?token={token[1]}")
    page.get_by_role("heading", name="Join Acme").wait_for()
    assert "token" not in page.url
    look(page, f"invitation-new-{width}")
    page.get_by_label("First name").fill("Nina")
    page.locator("[name=new_password]").fill("short")
    page.locator("[name=repeated]").fill("short")
    page.get_by_role("button", name="Accept the invitation").click()
    page.get_by_role("alert").first.wait_for()
    look(page, f"invitation-refused-{width}")
    page.locator("[name=new_password]").fill("a loud harbor at noon")
    page.locator("[name=repeated]").fill("a loud harbor at noon")
    page.get_by_role("button", name="Accept the invitation").click()
    page.get_by_text("You have joined Acme").wait_for()
    look(page, f"invitation-joined-{width}")
    me.go(f"/admin/invitation/?token={token[1]}")
    page.get_by_role("heading", name="This link has ended").wait_for()
    look(page, f"invitation-ended-{width}")


@pytest.mark.parametrize("width", [390, 1280])
def test_a_person_with_an_account_agrees_while_signed_in(acme, globex, visitor, width):
    role = globex.role("viewer").pk
    globex.client().post("/api/v1/users/", {"email": "sales@acme.test", "role": str(role)})
    with system_context("a link for a test"), unit_of_work():
        token = issue_link(Invitation.objects.get(), is_mailed=False, now=timezone.now())
    me = visitor(width)
    page = me.page
    me.go(f"/admin/invitation/?token={token}")
    page.get_by_text("Sign in with the password of your account.").wait_for()
    look(page, f"invitation-known-{width}")
    me.sign_in("sales@acme.test")
    me.go(f"/admin/invitation/?token={token}")
    page.get_by_text("You are signed in with this address.").wait_for()
    page.get_by_role("button", name="Accept the invitation").click()
    page.get_by_text("You have joined Globex.").wait_for()
    look(page, f"invitation-home-{width}")
    admin = visitor(width)
    admin.sign_in("admin@globex.test")
    globex.client().post("/api/v1/users/", {"email": "ida@people.test", "role": str(role)})
    admin.go("/admin/core/person/")
    look(admin.page, f"people-{width}")
