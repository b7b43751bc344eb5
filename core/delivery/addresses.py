"""Reading addresses and headers of a mail, so that nothing in them can become another header or another recipient."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.headerregistry import Address
from email.utils import parseaddr

from email_validator import EmailNotValidError, validate_email

from core.kernel.errors import Fault, Invalid

# C0, DEL, C1, and the separators that some programs read as line ends.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_HEADER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,75}")
MAX_HEADER = 900
# Written by the outbox itself, or a way to other recipients.
_RESERVED = frozenset(
    [
        "bcc",
        "cc",
        "date",
        "dkim-signature",
        "from",
        "message-id",
        "mime-version",
        "received",
        "reply-to",
        "resent-bcc",
        "resent-cc",
        "resent-to",
        "return-path",
        "sender",
        "subject",
        "to",
    ]
)


def one_line(text: str, path: str, most: int) -> str:
    """The text of a header.

    Raises: Invalid (`control_characters`, `too_long`).
    """
    if _CONTROL.search(text):
        raise Invalid(
            faults=[Fault(path, "control_characters", "Line breaks and control characters are not allowed.")]
        )
    if len(text) > most:
        raise Invalid(faults=[Fault(path, "too_long", f"This has at most {most} characters.")])
    return text


def read_address(text: str, path: str) -> str:
    """A bare address in its canonical form: domain in lower case and Unicode, local part as given.

    Raises: Invalid (`not_an_email`).
    """
    try:
        found = validate_email(
            text,
            check_deliverability=False,
            allow_smtputf8=False,
            test_environment=True,
            globally_deliverable=False,
        )
    except EmailNotValidError:
        fault = Fault(path, "not_an_email", "An email address such as name@example.com is expected.")
        raise Invalid(faults=[fault]) from None
    return found.normalized


def read_mailbox(text: str, path: str) -> str:
    """`name@example.com` or `Name <name@example.com>`, in canonical form.

    Raises: Invalid.
    """
    one_line(text, path, 400)
    name, bare = parseaddr(text)
    # What the parser leaves aside (a second address, say) must not go unnoticed.
    if not bare or "," in text.replace(f'"{name}"', ""):
        raise Invalid(faults=[Fault(path, "not_an_email", "One email address is expected.")])
    return mailbox(name, read_address(bare, path))


def mailbox(name: str, bare: str) -> str:
    """How a header shows a name and an address."""
    if not name:
        return bare
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" <{bare}>'


def header_address(text: str) -> Address:
    """The mailbox as the mail's header takes it: its domain in ASCII."""
    name, bare = parseaddr(text)
    return Address(display_name=name, addr_spec=ascii_address(bare))


def ascii_address(text: str) -> str:
    """The bare address as SMTP's commands take it."""
    _, bare = parseaddr(text)
    local, _, domain = bare.rpartition("@")
    try:
        return f"{local}@{domain.encode('idna').decode('ascii')}"
    except UnicodeError:
        return bare


def read_headers(headers: Mapping[str, str], path: str) -> dict[str, str]:
    """Further headers, such as List-Unsubscribe.

    Raises: Invalid (`not_a_header`, `reserved_header`, `control_characters`, `too_long`).
    """
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise Invalid(faults=[Fault(path, "not_a_header", "This is no name of a header.")])
        if name.lower() in _RESERVED or name.lower().startswith("content-"):
            raise Invalid(
                faults=[Fault(f"{path}.{name}", "reserved_header", "This header is set by the outbox.")]
            )
        one_line(value, f"{path}.{name}", MAX_HEADER)
    return dict(headers)
