"""Mails over a real SMTP server: each once, in whatever order servers, networks and workers fail."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from core.delivery.models import EmailFile, OutgoingEmail
from core.delivery.operations import Attachment, send_many
from core.delivery.operations.housekeeping import purge_messages
from core.delivery.operations.sending import LEASE, resume_overdue
from core.delivery.transports import SUPPRESSIONS, TRANSPORTS, Refused, Transport
from core.jobs.models import Job
from core.kernel.errors import Invalid
from core.kernel.transactions import unit_of_work
from core.tenancy.context import system_context
from tests.core.delivery.conftest import new_mail, read, run, write
from tests.core.jobs.conftest import ROOT, child_environment

pytestmark = pytest.mark.django_db(transaction=True)
State = OutgoingEmail.State
# The first byte of a picture is enough to be one.
PNG = b"\x89PNG\r\n\x1a\n"


class TestAMail:
    def test_leaves_with_the_commit_of_what_caused_it(self, acme, globex, mailbox):
        mail = write(acme, to_name="Maya Keller", subject="Größe", text="Grüße", headers={"X-Ref": "7"})
        [(sender, to, message)] = mailbox.received
        assert (sender, to) == ("crm@atrium.example", ["maya@northwind.example"])
        assert message["To"] == "Maya Keller <maya@northwind.example>"
        assert (message["Subject"], message["X-Ref"]) == ("Größe", "7")
        assert message.get_content().strip() == "Grüße"
        row = read(mail)
        assert (row.state, row.attempts, row.message_id) == (State.SENT, 1, message["Message-ID"])

    def test_of_a_transaction_that_fails_was_never_there(self, acme, mailbox):
        def fail() -> None:
            with acme.acting() as actor:
                send_many(actor=actor, mails=[new_mail()], now=timezone.now())
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert mailbox.received == []
        with system_context("test"), unit_of_work():
            assert OutgoingEmail.objects.count() == Job.objects.count() == 0

    def test_carries_text_html_images_and_files(self, acme, mailbox):
        files = [
            Attachment("logo.png", PNG, "image/png", content_id="logo"),
            Attachment("Preis für alle.pdf", b"%PDF-1.4", "application/pdf"),
        ]
        write(acme, html='<img src="cid:logo">', attachments=files, reply_to=["Ida <ida@acme.example>"])
        message = mailbox.received[0][2]
        assert message.get_content_type() == "multipart/mixed"
        html = message.get_body(("html",))
        assert "cid:logo" in html.get_content()
        [image] = [part for part in message.walk() if part.get_content_type() == "image/png"]
        assert (image["Content-ID"], image.get_content()) == ("<logo>", PNG)
        [file] = list(message.iter_attachments())
        assert (file.get_filename(), file.get_content()) == ("Preis für alle.pdf", b"%PDF-1.4")
        assert message["Reply-To"] == "Ida <ida@acme.example>"

    def test_stores_the_same_file_once(self, acme, globex, mailbox):
        for key in "ab":
            write(acme, key=key, attachments=[Attachment("logo.png", PNG, "image/png")])
        write(globex, attachments=[Attachment("logo.png", PNG, "image/png")])
        with system_context("test"), unit_of_work():
            assert EmailFile.objects.count() == 2

    def test_goes_to_international_domains(self, acme, mailbox):
        mail = write(acme, to="info@BÜCHER.example")
        assert read(mail).recipient == "info@bücher.example"
        assert mailbox.received[0][1] == ["info@xn--bcher-kva.example"]

    def test_has_the_bounce_address_as_its_sender(self, acme, mailbox, settings):
        settings.EMAIL_BOUNCE_ADDRESS = "bounces@atrium.example"
        write(acme, sender="Ada <ada@acme.example>", cc=["bo@acme.example"])
        [(sender, to, message)] = mailbox.received
        assert (sender, message["From"]) == ("bounces@atrium.example", "Ada <ada@acme.example>")
        assert to == ["maya@northwind.example", "bo@acme.example"]

    def test_of_the_installation_belongs_to_no_company(self, acme, mailbox):
        assert read(write(None)).company_id is None
        with acme.acting():
            assert OutgoingEmail.objects.count() == 0

    @pytest.mark.parametrize(
        ("facts", "path", "code"),
        [
            ({"subject": "Hi\r\nBcc: a@b.example"}, "0.subject", "control_characters"),
            ({"subject": "Hi\u2028there"}, "0.subject", "control_characters"),
            ({"to_name": "Hi\x00"}, "0.to_name", "control_characters"),
            ({"to": "a@b.example\nBcc: c@d.example"}, "0.to", "not_an_email"),
            ({"to": "a@b.example, c@d.example"}, "0.to", "not_an_email"),
            ({"to": "nobody"}, "0.to", "not_an_email"),
            ({"to": "jö@b.example"}, "0.to", "not_an_email"),
            ({"sender": "Ada <a@b.example>, c@d.example"}, "0.sender", "not_an_email"),
            ({"sender": "Ada\n <a@b.example>"}, "0.sender", "control_characters"),
            ({"cc": ["a@b.example\r\n"]}, "0.cc.0", "control_characters"),
            ({"reply_to": ["x"]}, "0.reply_to.0", "not_an_email"),
            ({"headers": {"Bcc": "a@b.example"}}, "0.headers.Bcc", "reserved_header"),
            ({"headers": {"Content-Type": "x"}}, "0.headers.Content-Type", "reserved_header"),
            ({"headers": {"X-A: b\nY": "c"}}, "0.headers", "not_a_header"),
            ({"headers": {"X-A": "b\r\nBcc: c"}}, "0.headers.X-A", "control_characters"),
            ({"attachments": [Attachment("a\nb", b"")]}, "0.attachments.0.name", "control_characters"),
            ({"attachments": [Attachment("a", b"", "x\ny/z")]}, "0.attachments.0.content_type", "invalid"),
            ({"key": ""}, "0.key", "required"),
        ],
    )
    def test_that_could_become_another_is_refused(self, acme, mailbox, facts, path, code):
        with pytest.raises(Invalid) as refusal:
            write(acme, **facts)
        assert [(fault.path, fault.code) for fault in refusal.value.faults] == [(path, code)]
        assert mailbox.received == []

    def test_may_carry_list_headers(self, acme, mailbox):
        unsubscribe = {
            "List-Unsubscribe": "<https://crm.example.test/u/1>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        }
        write(acme, headers=unsubscribe)
        message = mailbox.received[0][2]
        assert {name: message[name] for name in unsubscribe} == unsubscribe


class TestAKey:
    def test_reaches_a_recipient_once_and_others_too(self, acme, globex, mailbox):
        assert write(acme) is not None
        assert write(acme, subject="Hello again") is None
        write(acme, to="bo@northwind.example")
        write(globex)
        assert [to for _, to, _ in mailbox.received] == [
            ["maya@northwind.example"],
            ["bo@northwind.example"],
            ["maya@northwind.example"],
        ]

    def test_of_many_costs_a_constant_number_of_statements(self, acme, by_hand, django_assert_num_queries):
        mails = [new_mail(to=f"person{number}@northwind.example") for number in range(1_000)]
        with acme.acting() as actor:
            with django_assert_num_queries(2):
                made = send_many(actor=actor, mails=mails, now=timezone.now())
            assert len(made) == 1_000
            assert send_many(actor=actor, mails=mails, now=timezone.now()) == []
        with system_context("test"), unit_of_work():
            assert Job.objects.count() == 10


class TestARefusal:
    def test_for_now_comes_again_until_it_is_taken(self, acme, mailbox, by_hand):
        mailbox.answers["maya@northwind.example"] = ["450 greylisted", "421 busy"]
        mail = write(acme)
        again = run(mail)
        row = read(mail)
        assert (row.state, row.attempts, row.last_error) == (State.PENDING, 1, "450 greylisted")
        assert again == row.due_at > timezone.now()
        assert run(mail) == again, "it is not due yet"
        run(mail, after=timedelta(minutes=1))
        run(mail, after=timedelta(minutes=2))
        row = read(mail)
        assert (row.state, row.attempts, len(mailbox.received)) == (State.SENT, 3, 1)

    def test_for_good_is_not_tried_again(self, acme, mailbox, by_hand):
        mailbox.answers["maya@northwind.example"] = ["550 no such mailbox"]
        mail = write(acme)
        assert run(mail) is None
        row = read(mail)
        assert (row.state, row.last_error) == (State.FAILED, "550 no such mailbox")
        run(mail, after=timedelta(days=1))
        assert mailbox.received == []

    def test_of_one_does_not_hold_the_others(self, acme, mailbox, by_hand):
        mailbox.answers["b@x.example"] = ["550 no"]
        ids = [write(acme, to=f"{name}@x.example") for name in "abc"]
        run(*ids)
        assert [read(item).state for item in ids] == [State.SENT, State.FAILED, State.SENT]

    def test_of_a_server_that_is_away_ends_after_two_days(self, acme, mailbox, by_hand, settings):
        settings.EMAIL_PORT = 1
        mail = write(acme)
        run(mail)
        assert read(mail).state == State.PENDING
        run(mail, after=timedelta(days=3))
        row = read(mail)
        assert row.state == State.FAILED
        assert "ConnectionRefusedError" in row.last_error

    def test_of_a_wrong_password_waits_for_the_right_one(self, acme, mailbox, by_hand, settings):
        settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "crm", "wrong"
        mail = write(acme)
        run(mail)
        assert read(mail).state == State.PENDING

    def test_of_a_suppressed_address_is_asked_when_it_is_sent(self, acme, mailbox, by_hand, monkeypatch):
        mails = [write(acme, to=f"{name}@x.example", cc=["c@x.example"]) for name in "ab"]
        barred = {"b@x.example": "unsubscribed", "c@x.example": "bounced"}
        monkeypatch.setattr(
            SUPPRESSIONS,
            "_entries",
            {"test": lambda company, kind, addresses: {k: v for k, v in barred.items() if k in addresses}},
        )
        run(*mails)
        assert [to for _, to, _ in mailbox.received] == [["a@x.example"]]
        row = read(mails[1])
        assert (row.state, row.last_error) == (State.SUPPRESSED, "unsubscribed")


class TestACrash:
    def test_after_data_sends_the_same_message_again(self, acme, mailbox, by_hand):
        mailbox.drops = 1
        mail = write(acme)
        run(mail)
        assert read(mail).state == State.PENDING
        run(mail, after=timedelta(minutes=1))
        assert read(mail).state == State.SENT
        assert len({message["Message-ID"] for _, _, message in mailbox.received}) == 1
        assert mailbox.raw[0].split(b"boundary")[0] == mailbox.raw[1].split(b"boundary")[0]

    @pytest.mark.parametrize(("point", "copies"), [("mail.claimed", 1), ("mail.accepted", 2)])
    def test_of_the_worker_loses_nothing(self, acme, mailbox, by_hand, tmp_path, point, copies):
        mail = write(acme)
        plan = tmp_path / "plan"
        plan.write_text(f"{point} 1\n")
        command = [sys.executable, "-m", "tests.core.delivery.child", str(mailbox.port), str(mail)]
        killed = subprocess.run(
            command, env=child_environment(CRM_FAULT_PLAN=str(plan)), cwd=ROOT, timeout=60, check=False
        )
        assert killed.returncode == -9
        row = read(mail)
        assert (row.state, row.attempts) == (State.SENDING, 1)
        assert run(mail) == row.leased_until, "the attempt might still be under way"
        assert len(mailbox.received) == copies - 1
        run(mail, after=LEASE)
        assert read(mail).state == State.SENT
        assert len(mailbox.received) == copies
        assert len({message["Message-ID"] for _, _, message in mailbox.received}) == 1

    def test_of_an_attempt_that_was_given_up_writes_nothing_when_it_wakes(self, acme, mailbox, by_hand):
        mail = write(acme)
        calls: list[int] = []

        def meanwhile() -> None:
            calls.append(1)
            if len(calls) == 1:
                # Somebody else takes the mail over before the first attempt hears the answer.
                with system_context("test"), unit_of_work():
                    OutgoingEmail.objects.filter(pk=mail).update(attempts=2, last_error="other")
                connection.close()

        mailbox.on_data = meanwhile
        run(mail)
        row = read(mail)
        assert (row.state, row.attempts, row.last_error) == (State.SENDING, 2, "other")

    def test_of_its_job_is_noticed(self, acme, mailbox, by_hand):
        mail = write(acme)
        late = timezone.now() + timedelta(hours=1)
        with system_context("test"), unit_of_work():
            assert resume_overdue(now=late) == 0, "its job is open"
            Job.objects.update(state="canceled", closed_at=timezone.now())
            assert resume_overdue(now=late) == 1
            assert Job.objects.filter(state="open").get().payload == {"emails": [str(mail)]}


def test_ten_runs_at_once_send_each_mail_once(acme, mailbox, by_hand):
    ids = [write(acme, to=f"person{number}@x.example") for number in range(20)]
    errors: list[BaseException] = []

    def work() -> None:
        try:
            run(*ids)
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert sorted(to for _, [to], _ in mailbox.received) == sorted(f"person{n}@x.example" for n in range(20))
    assert {read(item).state for item in ids} == {State.SENT}


class TestTheSandbox:
    def test_keeps_what_would_be_sent(self, acme):
        mail = write(acme, is_confidential=True)
        row = read(mail)
        assert (row.state, row.transport, row.text) == (State.SANDBOXED, "sandbox", "Good morning.")

    def test_is_left_for_a_way_that_serves_the_company(self, acme, globex, mailbox, monkeypatch):
        sent: list[Any] = []

        class Session:
            def __enter__(self) -> Any:
                return self.send

            def __exit__(self, *_: object) -> None: ...

            def send(self, mail: Any) -> None:
                if mail.recipient.startswith("bad"):
                    raise Refused("no")
                sent.append((mail.company_id, mail.recipient))

        own = Transport("own", lambda company_id, kind: company_id == acme.company.pk, Session)
        monkeypatch.setattr(TRANSPORTS, "_entries", {**TRANSPORTS._entries, "own": own})
        assert read(write(acme)).transport == "own"
        assert read(write(acme, to="bad@x.example")).state == State.FAILED
        assert read(write(globex)).transport == "smtp"
        assert sent == [(acme.company.pk, "maya@northwind.example")]


def test_a_confidential_mail_loses_its_body_when_it_has_left(acme, mailbox):
    mail = write(acme, is_confidential=True, html="<p>secret</p>")
    assert mailbox.received[0][2].get_body(("plain",)).get_content().strip() == "Good morning."
    row = read(mail)
    assert (row.state, row.text, row.html) == (State.SENT, "", "")


def test_old_mails_go_with_their_files_and_young_ones_stay(acme, globex, mailbox, settings):
    old = write(acme, attachments=[Attachment("a.png", PNG, "image/png")])
    waiting = write(globex, attachments=[Attachment("b.png", b"x", "image/png")])
    now = timezone.now()
    with system_context("test"), unit_of_work():
        past = now - timedelta(days=settings.KEEP_EMAILS_DAYS + 1)
        OutgoingEmail.objects.update(created_at=past, closed_at=past)
        OutgoingEmail.objects.filter(pk=waiting).update(state=State.PENDING, closed_at=None)
        EmailFile.objects.update(last_used_at=past)
    with system_context("test"):
        assert purge_messages(now=now) == {"emails": 1, "notifications": 0, "files": 1}
        with unit_of_work():
            assert not OutgoingEmail.objects.filter(pk=old).exists()
            assert bytes(EmailFile.objects.get().content) == b"x"
