"""The outbox: what was sent, what failed and why, and in the sandbox what would be sent."""

from __future__ import annotations

import base64
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.admin import site
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.http import content_disposition_header

from core.backoffice.writing import actor_of
from core.delivery import queries
from core.delivery.models import OutgoingEmail
from core.delivery.transports import transport_for
from core.entities import entities

STATES = OutgoingEmail.State
_BADGES = {STATES.SENT: "good", STATES.FAILED: "bad", STATES.SUPPRESSED: "warn", STATES.SANDBOXED: "warn"}
# Links of the preview open beside it; nothing in it runs, and no picture is fetched from elsewhere.
_BASE = '<base target="_blank">'


def _sees_installation(request: HttpRequest) -> bool:
    return bool(request.user.is_platform_staff)  # type: ignore[union-attr]


def is_shown_to(actor: Any) -> bool:
    return queries.may_see_emails(actor)


def show_list(request: HttpRequest) -> HttpResponse:
    """The newest mails; `?state=` narrows, `?before=` goes on."""
    actor = actor_of(request)
    state = request.GET.get("state", "")
    if state and state not in STATES.values:
        raise Http404
    page = queries.list_emails(
        actor,
        sees_installation=_sees_installation(request),
        state=state,
        before=_id(request.GET["before"]) if request.GET.get("before") else None,
    )
    context: dict[str, Any] = {
        **site.each_context(request),
        "title": "Emails",
        "emails": [_line(email) for email in page.emails],
        "states": STATES.choices,
        "state": state,
        "older": page.emails[-1].pk if page.has_more else None,
        "is_sandbox": not transport_for(actor.company_id, "").delivers,
    }
    return TemplateResponse(request, "backoffice/emails.html", context)


def _line(email: OutgoingEmail) -> dict[str, Any]:
    return {"email": email, "badge": _BADGES.get(STATES(email.state), "")}


def show_one(request: HttpRequest, email_id: UUID) -> HttpResponse:
    actor = actor_of(request)
    email = queries.get_email(actor, email_id, sees_installation=_sees_installation(request))
    hidden = email.is_confidential and not _may_read(request, email)
    context = {
        **site.each_context(request),
        "title": email.subject,
        **_line(email),
        "is_hidden": hidden,
        "is_blanked": email.is_confidential and not hidden and not email.text,
        "preview": "" if hidden or not email.html else _preview(email),
        "text": "" if hidden else email.text,
        "files": [] if hidden else [item for item in email.attachments if not item["content_id"]],
        "entity": entities.find(email.entity_type),
        "days": settings.KEEP_EMAILS_DAYS,
    }
    return TemplateResponse(request, "backoffice/email.html", context)


def _may_read(request: HttpRequest, email: OutgoingEmail) -> bool:
    actor = actor_of(request)
    if email.company_id is None:
        return _sees_installation(request)
    return queries.may_read_confidential(actor)


def _preview(email: OutgoingEmail) -> str:
    """The html with its inline images in it, for a frame that may do nothing."""
    html = email.html
    inline = [item for item in email.attachments if item["content_id"]]
    contents = queries.contents_of(email) if inline else {}
    for item in inline:
        data = base64.b64encode(contents[item["file"]]).decode()
        html = html.replace(f"cid:{item['content_id']}", f"data:{item['content_type']};base64,{data}")
    return _BASE + html


def download(request: HttpRequest, email_id: UUID, number: int) -> HttpResponse:
    """An attachment, never shown in place: it may be anything."""
    email = queries.get_email(actor_of(request), email_id, sees_installation=_sees_installation(request))
    if email.is_confidential and not _may_read(request, email):
        raise Http404
    files = [item for item in email.attachments if not item["content_id"]]
    if number >= len(files):
        raise Http404
    item = files[number]
    answer = HttpResponse(queries.contents_of(email)[item["file"]], content_type="application/octet-stream")
    answer["Content-Disposition"] = content_disposition_header(True, item["name"]) or "attachment"
    answer["Content-Security-Policy"] = "sandbox"
    return answer


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Http404 from None
