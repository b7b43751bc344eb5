"""Ways out: SMTP, or the sandbox where no server is configured. Integrations register others, and lists of suppression."""

from __future__ import annotations

import smtplib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.mail.backends.smtp import EmailBackend

from core.delivery.addresses import ascii_address, header_address, mailbox
from core.kernel.registry import Registry

# Everything in seven bits, so that a server without 8BITMIME takes it too; long lines are folded by the policy.
_POLICY = SMTP.clone(cte_type="7bit")
TRANSIENT = range(400, 500)


class TransportError(Exception):
    """A mail could not be handed over; the text is for people."""


class Deferred(TransportError):
    """Not now: a later attempt may succeed."""


class Refused(TransportError):
    """Never: this mail to this recipient is not taken."""


@dataclass(frozen=True)
class OutgoingFile:
    name: str
    content_type: str
    content: bytes
    # The image that html shows as `cid:<content_id>`; empty for an attachment.
    content_id: str = ""


@dataclass(frozen=True)
class Outgoing:
    """A mail as a transport gets it."""

    id: UUID
    company_id: UUID | None
    kind: str
    recipient: str
    recipient_name: str
    sender: str
    cc: tuple[str, ...]
    reply_to: tuple[str, ...]
    subject: str
    text: str
    html: str
    headers: Mapping[str, str]
    files: tuple[OutgoingFile, ...]
    message_id: str
    created_at: datetime

    @property
    def recipients(self) -> list[str]:
        """Bare ASCII addresses of everyone it goes to, each once."""
        return list(dict.fromkeys(ascii_address(item) for item in (self.recipient, *self.cc)))

    def as_message(self) -> EmailMessage:
        """The MIME message: text, html with its images, attachments. The same in every attempt."""
        message = EmailMessage(policy=_POLICY)
        message["From"] = header_address(self.sender)
        message["To"] = header_address(mailbox(self.recipient_name, self.recipient))
        if self.cc:
            message["Cc"] = [header_address(item) for item in self.cc]
        if self.reply_to:
            message["Reply-To"] = [header_address(item) for item in self.reply_to]
        message["Subject"] = self.subject
        message["Date"] = format_datetime(self.created_at)
        message["Message-ID"] = self.message_id
        for name, value in self.headers.items():
            message[name] = value
        message.set_content(self.text)
        if self.html:
            message.add_alternative(self.html, subtype="html")
            body: Any = message.get_payload()
            for file in self.files:
                if file.content_id:
                    main, _, sub = file.content_type.partition("/")
                    body[-1].add_related(
                        file.content,
                        maintype=main,
                        subtype=sub,
                        cid=f"<{file.content_id}>",
                        filename=file.name,
                        disposition="inline",
                    )
        for file in self.files:
            if not (self.html and file.content_id):
                main, _, sub = file.content_type.partition("/")
                message.add_attachment(file.content, maintype=main, subtype=sub, filename=file.name)
        return message


# Hands one mail over. Raises: Deferred, Refused.
Send = Callable[[Outgoing], None]


@dataclass(frozen=True)
class Transport:
    """One way out. `session` opens what several mails can share, such as a connection.

    `serves(company_id, kind)` says whether mails of this company (None: of the installation) and kind go this way. Transports
    are asked in turn, the one that was registered last first. One that does not deliver leaves mails `sandboxed`.
    """

    name: str
    serves: Callable[[UUID | None, str], bool]
    session: Callable[[], AbstractContextManager[Send]]
    delivers: bool = True


TRANSPORTS: Registry[Transport] = Registry("mail transport")

# Asked in the transaction that starts each attempt: company, kind of mail, addresses -> those that must not be written to,
# each with the reason.
Suppression = Callable[[UUID | None, str, Sequence[str]], Mapping[str, str]]
SUPPRESSIONS: Registry[Suppression] = Registry("mail suppression")


def transport_for(company_id: UUID | None, kind: str) -> Transport:
    """The way a mail of this company and kind goes. The sandbox takes what no other does."""
    return next(item for item in reversed(tuple(TRANSPORTS)) if item.serves(company_id, kind))


def leaves_the_house() -> bool:
    """Whether mails of the installation are really sent, so that only their recipients read them."""
    return transport_for(None, "").delivers


def suppressed(company_id: UUID | None, kind: str, addresses: Sequence[str]) -> dict[str, str]:
    """Which of the addresses must not be written to, and why."""
    found: dict[str, str] = {}
    for ask in SUPPRESSIONS:
        found |= ask(company_id, kind, addresses)
    return found


# --- the two of core -----------------------------------------------------------------------------------------------


@contextmanager
def _sandbox() -> Iterator[Send]:
    def keep(mail: Outgoing) -> None:
        """It stays in the outbox, where the back office shows it."""

    yield keep


class _Smtp:
    """One connection for as many mails as there are; opened with the first one and again when the server has closed it."""

    def __init__(self) -> None:
        self._backend: Any = EmailBackend(fail_silently=False)

    def send(self, mail: Outgoing) -> None:
        message = mail.as_message().as_bytes()
        bounces = ascii_address(settings.EMAIL_BOUNCE_ADDRESS or mail.sender)
        try:
            refused = self._connected().sendmail(bounces, mail.recipients, message)
        except smtplib.SMTPRecipientsRefused as error:
            raise _judged(*_answer_for(mail, error.recipients)) from None
        except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
            raise _judged(error.smtp_code, error.smtp_error) from None
        except (smtplib.SMTPException, OSError) as error:
            # No connection, a broken one, or a sign-in that is wrong: the next attempt starts afresh.
            self.close()
            raise Deferred(_in_words(error)) from None
        # The server took it for somebody; the recipient is the one it is about.
        if ascii_address(mail.recipient) in refused:
            raise _judged(*_answer_for(mail, refused))

    def _connected(self) -> smtplib.SMTP:
        if self._backend.connection is not None and not self._answers():
            self.close()
        if self._backend.connection is None:
            self._backend.open()
        connection: smtplib.SMTP = self._backend.connection
        return connection

    def _answers(self) -> bool:
        try:
            return bool(self._backend.connection.noop()[0] == 250)
        except (smtplib.SMTPException, OSError):
            return False

    def close(self) -> None:
        try:
            self._backend.close()
        except (smtplib.SMTPException, OSError):
            self._backend.connection = None


def _answer_for(mail: Outgoing, answers: Mapping[str, tuple[int, bytes]]) -> tuple[int, bytes | str]:
    return answers.get(ascii_address(mail.recipient)) or next(iter(answers.values()))


def _judged(code: int, text: bytes | str) -> TransportError:
    reply = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    words = f"{code} {reply}".strip()
    return Deferred(words) if code in TRANSIENT or code < 0 else Refused(words)


def _in_words(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return str(_judged(error.smtp_code, error.smtp_error))
    return f"{type(error).__name__}: {error}"


@contextmanager
def _smtp() -> Iterator[Send]:
    connection = _Smtp()
    try:
        yield connection.send
    finally:
        connection.close()


TRANSPORTS.register("sandbox", Transport("sandbox", lambda company_id, kind: True, _sandbox, delivers=False))
TRANSPORTS.register("smtp", Transport("smtp", lambda company_id, kind: bool(settings.EMAIL_HOST), _smtp))
