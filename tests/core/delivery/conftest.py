"""A real SMTP server in this process, whose answers a test decides."""

from __future__ import annotations

import asyncio
import email
import socket
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from django.utils import timezone

from core.delivery.models import OutgoingEmail
from core.delivery.operations import NewMail, send_mail
from core.delivery.operations.sending import send_pending
from core.kernel.transactions import unit_of_work
from core.tenancy.context import system_context
from tests.worlds import World


@dataclass
class Mailbox:
    """What the server took, and what it answers to whom."""

    port: int = 0
    received: list[tuple[str, list[str], EmailMessage]] = field(default_factory=list)
    # Recipient -> answers to RCPT, in turn; nothing left: 250.
    answers: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    # How many times to take a message and hang up before the answer.
    drops: int = 0
    # Called when a message has arrived, before the answer.
    on_data: Callable[[], None] = lambda: None
    raw: list[bytes] = field(default_factory=list)

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        waiting = self.answers[address]
        if waiting:
            return waiting.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        await asyncio.get_running_loop().run_in_executor(None, self.on_data)
        message: Any = email.message_from_bytes(envelope.content, policy=default)
        self.raw.append(envelope.content)
        self.received.append((envelope.mail_from, envelope.rcpt_tos, message))
        if self.drops:
            self.drops -= 1
            server.transport.abort()
        return "250 OK"


@pytest.fixture
def mailbox(settings: Any) -> Iterator[Mailbox]:
    box = Mailbox()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        box.port = free.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=box.port)
    controller.start()
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", box.port
    settings.EMAIL_TIMEOUT = 5
    settings.DEFAULT_FROM_EMAIL = "Atrium CRM <crm@atrium.example>"
    yield box
    controller.stop()


def new_mail(**facts: Any) -> NewMail:
    plain = {
        "kind": "test",
        "key": "one",
        "to": "maya@northwind.example",
        "subject": "Hello",
        "text": "Good morning.",
    }
    return NewMail(**{**plain, **facts})


def write(world: World | None, **facts: Any) -> Any:
    """A mail of the company's admin, or of the installation."""
    if world is None:
        with system_context("test"), unit_of_work():
            return send_mail(actor=None, mail=new_mail(**facts), now=timezone.now())
    with world.acting() as actor:
        return send_mail(actor=actor, mail=new_mail(**facts), now=timezone.now())


def read(mail_id: Any) -> OutgoingEmail:
    with system_context("test"), unit_of_work():
        return OutgoingEmail.objects.get(pk=mail_id)


def run(*ids: Any, after: Any = None) -> Any:
    """Send those of the mails that are due, or will be due after so long."""
    with system_context("test"):
        return send_pending(ids, clock=lambda: timezone.now() + after if after else timezone.now())


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs are written and not rung for, so that a test says when they run."""
    monkeypatch.setattr("core.jobs.operations.ring_after_commit", lambda *args: None)
