"""Actions that tell people something: a mail, a notification."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from pydantic import Field

from core.delivery.addresses import read_address
from core.delivery.operations import NewMail, notify, send_mail
from core.kernel.errors import Fault, Invalid, Unprocessable
from workflow import templates
from workflow.definitions import Setting
from workflow.registries import ACTION_TYPES, ActionType
from workflow.schemas import Part
from workflow.steps import Step

MAX_RECIPIENTS = 50
OWNER = "owner"


class SendEmail(Part):
    """Sends one mail to each address. Values in `html` are escaped."""

    to: list[str] | str
    subject: str = Field(min_length=1, max_length=300)
    body: str = Field(min_length=1, max_length=50_000)
    html: str = Field("", max_length=100_000)


class SendNotification(Part):
    """Tells members, by the channels they chose: their ids, a template of one, or `owner` for the record's owner."""

    recipients: list[str] = Field(min_length=1, max_length=MAX_RECIPIENTS)
    title: str = Field(min_length=1, max_length=200)
    body: str = Field("", max_length=10_000)


def _addresses(value: Any) -> list[str]:
    """Each item is one address: a value of a record cannot add further ones."""
    given = value if isinstance(value, list) else [value]
    return list(dict.fromkeys(str(item).strip() for item in given if item and str(item).strip()))


def _check_email(setting: Setting, payload: SendEmail) -> Iterable[Fault]:
    given = payload.to if isinstance(payload.to, list) else [payload.to]
    if not given or len(given) > MAX_RECIPIENTS:
        yield Fault("to", "wrong_number", f"1 to {MAX_RECIPIENTS} addresses are expected.")
    for place, address in enumerate(given):
        if templates.is_template(address):
            continue
        try:
            read_address(address, "to")
        except Invalid as refusal:
            where = f"to.{place}" if isinstance(payload.to, list) else "to"
            for fault in refusal.faults:
                yield Fault(where, fault.code, fault.detail)


def _email(step: Step, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    addresses = _addresses(payload["to"])
    if not addresses:
        raise Unprocessable("There is no address to write to.", code="no_recipient")
    made = 0
    for address in addresses[:MAX_RECIPIENTS]:
        mail = NewMail(
            kind="workflow",
            key=step.key,
            to=address,
            subject=" ".join(str(payload["subject"]).split()),
            text=str(payload["body"]),
            html=str(payload.get("html") or ""),
            entity_type=step.entity_type,
            entity_id=step.record_id,
        )
        made += send_mail(actor=step.actor, mail=mail, now=step.now) is not None
    return {"recipients": addresses, "sent": made}


def _preview_email(step: Step, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"recipients": _addresses(payload["to"]), "subject": payload["subject"], "body": payload["body"]}


def _check_notification(setting: Setting, payload: SendNotification) -> Iterable[Fault]:
    for place, recipient in enumerate(payload.recipients):
        if recipient == OWNER or templates.is_template(recipient):
            continue
        try:
            UUID(recipient)
        except ValueError:
            yield Fault(f"recipients.{place}", "not_an_id", "An id, a template or 'owner' is expected.")


def _people(step: Step, payload: Mapping[str, Any]) -> list[UUID]:
    found = []
    for recipient in payload["recipients"]:
        value = recipient
        if recipient == OWNER and step.record_id is not None and step.entity.owner is not None:
            name = step.entity.owner.name
            value = step.document(step.entity, step.record_id, [name]).get(name)
        try:
            found.append(UUID(str(value)))
        except ValueError:
            continue
    return list(dict.fromkeys(found))


def _notify(step: Step, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    told = notify(
        actor=step.actor,
        kind="workflow.message",
        key=step.key,
        recipients=_people(step, payload),
        title=str(payload["title"]),
        body=str(payload.get("body") or ""),
        entity_type=step.entity_type,
        entity_id=step.record_id,
        now=step.now,
    )
    return {"told": told}


def _preview_notification(step: Step, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    people = [str(person) for person in _people(step, payload)]
    return {"recipients": people, "title": payload["title"], "body": payload.get("body") or ""}


ACTION_TYPES.register(
    "send_email",
    ActionType(
        name="send_email",
        label="Send an email",
        description="Sends a mail to addresses, such as that of the record.",
        payload=SendEmail,
        run=_email,
        summarize=lambda payload: f"Send the email {payload.get('subject')!r}",
        check=_check_email,
        preview=_preview_email,
        html=frozenset({"html"}),
    ),
)
ACTION_TYPES.register(
    "send_notification",
    ActionType(
        name="send_notification",
        label="Notify people",
        description="Tells members of the company something, by the channels they chose.",
        payload=SendNotification,
        run=_notify,
        summarize=lambda payload: f"Notify: {payload.get('title')}",
        check=_check_notification,
        preview=_preview_notification,
    ),
)
