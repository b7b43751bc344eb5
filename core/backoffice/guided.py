"""Guided actions: a page that asks what an action of the API would be told, and does it by the same operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from core.backoffice.forms import ActionForm
from core.kernel.errors import DomainError
from core.kernel.transactions import savepoint

if TYPE_CHECKING:
    from core.backoffice.entity_admin import EntityAdmin

# Takes what was filled in, by name; answers where to go on and what to say, or a page of its own.
Act = Callable[[dict[str, Any]], tuple[str, str] | HttpResponse]


def guided_page(
    admin: EntityAdmin,
    request: HttpRequest,
    record: Any,
    *,
    title: str,
    submit_label: str,
    fields: Mapping[str, forms.Field],
    act: Act,
    lead_in: str = "",
    aliases: Mapping[str, str] | None = None,
    initial: Mapping[str, Any] | None = None,
) -> HttpResponse:
    """Ask for `fields`, then `act`; a refusal is shown at the field it speaks of (`aliases`: path → field)."""
    form_type = type("GuidedForm", (ActionForm,), dict(fields))
    form: ActionForm = form_type(
        request.POST if request.method == "POST" else None, initial=dict(initial or {})
    )
    if request.method == "POST" and form.is_valid():
        filled = {name: value for name, value in form.cleaned_data.items() if value not in ("", None)}
        try:
            with savepoint():
                done = act(filled)
        except DomainError as refusal:
            form.show_faults(refusal, aliases)
        else:
            if isinstance(done, HttpResponse):
                return done
            target, said = done
            messages.success(request, said)
            return HttpResponseRedirect(target)
    context = {
        **admin.admin_site.each_context(request),
        "title": title,
        "opts": admin.opts,
        "record": record,
        "form": form,
        "lead_in": lead_in,
        "submit_label": submit_label,
        "back_url": admin.record_url(record.pk),
        "media": admin.media + form.media,
    }
    return TemplateResponse(request, "backoffice/action.html", context)
