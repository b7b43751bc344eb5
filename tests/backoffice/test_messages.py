"""The outbox, the bell and the way back in for who forgot their password, as people see them."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from core.changes import Rows
from core.delivery.models import Notification, OutgoingEmail
from core.delivery.operations import Attachment, NewMail, notify, request_password_reset, send_mail
from core.delivery.system_mails import render_mail
from core.identity.models import Role, User
from core.identity.operations import create_roles
from core.kernel.transactions import unit_of_work
from core.tenancy.context import system_context
from tests.backoffice.conftest import text_of
from tests.worlds import World

pytestmark = pytest.mark.django_db(transaction=True)
PNG = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89"
    b"\x00\x00\x00\rIDATx\x9cc\xf8\xff\xff?\x00\x05\xfe\x02\xfe\xa75\x81\x84\x00\x00\x00\x00IEND\xaeB`\x82"
)


def write(world: World, **facts: Any) -> Any:
    plain = {
        "kind": "test",
        "key": "1",
        "to": "maya@northwind.example",
        "subject": "Your quote",
        "text": "See https://northwind.example/quote",
        "html": '<p>Hello <img src="cid:logo" alt=""></p><script>document.title = "pwned"</script>',
        "attachments": [
            Attachment("logo.png", PNG, "image/png", content_id="logo"),
            Attachment("quote.html", b"<script>alert(1)</script>", "text/html"),
        ],
    }
    with world.acting() as actor:
        return send_mail(actor=actor, mail=NewMail(**{**plain, **facts}), now=timezone.now())


def tell(world: World, role: str, **facts: Any) -> None:
    plain = {
        "kind": "import.finished",
        "key": "1",
        "title": "Import of leads.csv finished",
        "body": "1,200 created, 4 with errors.",
    }
    with world.acting() as actor:
        notify(actor=actor, recipients=[world.users[role]], now=timezone.now(), **{**plain, **facts})


class TestTheOutbox:
    def test_shows_what_the_sandbox_keeps(self, acme, globex, office):
        mail = write(acme)
        client = office(acme)
        assert "Your quote" in text_of(client.get("/admin/emails/"))
        assert "Your quote" not in text_of(client.get("/admin/emails/?state=sent"))
        page = text_of(client.get(f"/admin/emails/{mail}/"))
        assert "Sandboxed" in page
        assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in page
        assert "&lt;script&gt;" in page
        assert "<script>document.title" not in page
        assert "data:image/png;base64," in page
        assert 'href="https://northwind.example/quote"' in page

    def test_hands_files_out_as_downloads_alone(self, acme, office):
        mail = write(acme)
        answer = office(acme).get(f"/admin/emails/{mail}/files/0/")
        assert answer.content == b"<script>alert(1)</script>"
        assert answer["Content-Type"] == "application/octet-stream"
        assert answer["Content-Disposition"] == 'attachment; filename="quote.html"'
        assert office(acme).get(f"/admin/emails/{mail}/files/1/").status_code == 404

    def test_is_for_who_manages_users_of_this_company(self, acme, globex, office):
        mail = write(acme)
        for path in ("/admin/emails/", f"/admin/emails/{mail}/", f"/admin/emails/{mail}/files/0/"):
            assert office(acme, "viewer").get(path).status_code == 403
        theirs = office(globex)
        assert "Your quote" not in text_of(theirs.get("/admin/emails/"))
        assert theirs.get(f"/admin/emails/{mail}/").status_code == 404
        assert theirs.get(f"/admin/emails/{mail}/files/0/").status_code == 404

    def test_shows_a_reset_link_to_nobody_who_could_not_set_the_password(self, acme, office):
        request_password_reset(email=acme.email("sales"), now=timezone.now())
        with acme.acting():
            mail = OutgoingEmail.objects.get().pk
        assert "token=" in text_of(office(acme).get(f"/admin/emails/{mail}/"))
        with acme.acting() as actor:
            role = {"name": "people", "permissions": ["manage_users", "read"], "record_scope": "own"}
            create_roles(actor=actor, rows=Rows.of(Role, [role]), now=timezone.now())
            made = str(Role.objects.get(name="people").pk)
        changed = acme.client().patch(f"/api/v1/users/{acme.users['viewer']}/", {"role": made})
        assert changed.status_code == 200
        page = text_of(office(acme, "viewer").get(f"/admin/emails/{mail}/"))
        assert "Confidential" in page
        assert "token=" not in page

    def test_of_the_installation_is_for_its_staff(self, acme, globex, office):
        with system_context("test"), unit_of_work():
            User.objects.filter(pk=globex.users["admin"]).update(is_platform_staff=True)
        request_password_reset(email=globex.email("admin"), now=timezone.now())
        with system_context("test"), unit_of_work():
            mail = OutgoingEmail.objects.get(company=None).pk
        write(acme)
        assert office(acme).get(f"/admin/emails/{mail}/").status_code == 404
        staff = office(globex)
        assert "token=" in text_of(staff.get(f"/admin/emails/{mail}/"))
        page = text_of(staff.get("/admin/emails/"))
        assert "Reset your password" in page
        assert "Your quote" not in page


class TestTheBell:
    def test_counts_what_is_unread_and_leads_to_the_record(self, acme, globex, office):
        tell(acme, "sales", entity_type="user", entity_id=acme.users["sales"])
        client = office(acme, "sales")
        assert "Notifications, 1 unread" in text_of(client.get("/admin/"))
        assert "1,200 created" in text_of(client.get("/admin/notifications/"))
        with acme.acting():
            known = Notification.objects.get().pk
        assert office(acme, "viewer").post(f"/admin/notifications/{known}/").status_code == 404
        there = client.post(f"/admin/notifications/{known}/")
        assert there["Location"] == f"/admin/core/person/{acme.users['sales']}/"
        assert "unread" not in text_of(client.get("/admin/")).partition("bo-bell")[2][:200]
        assert "Nothing unread" in text_of(client.get("/admin/notifications/?unread=1"))

    def test_falls_silent_at_once(self, acme, office):
        for key in "ab":
            tell(acme, "sales", key=key)
        client = office(acme, "sales")
        assert client.post("/admin/notifications/read-all/").status_code == 302
        assert "Nothing unread" in text_of(client.get("/admin/notifications/?unread=1"))

    def test_has_settings(self, acme, office):
        client = office(acme, "sales")
        client.post("/admin/notifications/settings/", {"import.finished:email": "on"})
        tell(acme, "sales")
        with acme.acting():
            assert Notification.objects.count() == 0
            assert OutgoingEmail.objects.get().recipient == acme.email("sales")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_pages_of_messages_can_be_read_by_all(
    acme, globex, visitor, live_server, settings, width, scheme
) -> None:
    settings.PUBLIC_URL = live_server.url
    tell(acme, "admin", key="a", title="Import of accounts.csv finished with errors")
    acme.client().post("/api/v1/notifications/read-all/")
    tell(acme, "admin", key="b", entity_type="user", entity_id=acme.users["admin"])
    text, html = render_mail("notification", {"title": "Import finished", "body": "Two\nlines.", "url": "#"})
    write(acme, html=html, text=text, subject="Import of leads.csv finished", key="2")
    request_password_reset(email=acme.email("sales"), now=timezone.now())
    me = visitor(width=width, color_scheme=scheme)
    found: dict[str, list[str]] = {}

    def look(name: str) -> None:
        me.shoot(f"{name}-{width}-{scheme}")
        if faults := [*me.accessibility_faults(), *me.axe_violations()]:
            found[name] = faults

    me.go("/admin/login/")
    look("sign-in")
    me.page.get_by_role("link", name="Forgot your password?").press("Enter")
    me.page.get_by_label("Email address").press_sequentially(acme.email("manager"))
    look("forgot")
    me.page.keyboard.press("Enter")
    me.page.get_by_role("heading", name="Check your email").wait_for()
    look("asked")
    me.go("/admin/password-reset/new/?token=abc")
    look("choose")
    me.sign_in(acme.email("admin"))
    me.page.get_by_role("link", name="Notifications, 1 unread").click()
    me.page.get_by_role("heading", name="Notifications", exact=True).wait_for()
    look("notifications")
    me.page.get_by_role("link", name="Settings").click()
    look("settings")
    me.go("/admin/emails/")
    look("emails")
    me.page.get_by_role("link", name="Reset your password").last.click()
    me.page.get_by_role("heading", name="Preview").wait_for()
    me.page.frame_locator(".bo-mailframe").get_by_role("link", name="Choose a new password").wait_for()
    look("email-reset")
    with me.page.context.expect_page() as opened:
        me.page.frame_locator(".bo-mailframe").get_by_role("link", name="Choose a new password").click()
    opened.value.get_by_role("heading", name="Choose a new password").wait_for()
    assert found == {}
