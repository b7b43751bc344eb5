"""Guided pages: each declared action has one, which asks for the action's input and performs it as the API does.

What an action declares is enough for a page. An admin may add a `Guide` for what only a page needs: an icon, choices that
depend on the record, values to start from, where to go afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone

from core.access.actions import Performed, can_perform, perform
from core.backoffice.forms import ActionForm, as_json, as_text, choice_select, control
from core.entities import Action, Field
from core.entities.kinds import Kind
from core.kernel.errors import DomainError, Forbidden
from core.kernel.transactions import savepoint
from core.tenancy.actors import Actor

if TYPE_CHECKING:
    from core.backoffice.entity_admin import EntityAdmin

# Takes the input by name; answers the address to go to and a message, or a page of its own.
Act = Callable[[dict[str, Any]], tuple[str, str] | HttpResponse]
# The choices of a select: (value, label).
Choices = Callable[[Actor, Any], Sequence[tuple[str, str]]]


def _nothing(record: Any) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Guide:
    """What the page of an action shows beyond what the action declares. Everything may be left out."""

    # A Material symbol.
    icon: str = "bolt"
    # What the button at the end of the page says; the action's label otherwise.
    submit_label: str = ""
    # What the page says first; the action's description otherwise. `record` is the model instance.
    lead_in: Callable[[Any], str] | str = ""
    # The inputs that the page asks for, in this order; all otherwise.
    fields: Sequence[str] = ()
    # Inputs that are a select, with choices that depend on the record.
    choices: Mapping[str, Choices] = field(default_factory=dict)
    # Help beside inputs, in place of their descriptions.
    help_texts: Mapping[str, str] = field(default_factory=dict)
    # Values to start from.
    initial: Callable[[Any], dict[str, Any]] = _nothing
    # Inputs at which faults of other paths are shown: path -> name.
    aliases: Mapping[str, str] = field(default_factory=dict)
    # The message afterwards.
    done: Callable[[EntityAdmin, Actor, Any, Performed, dict[str, Any]], str] | str = "Done."
    # The address to go to afterwards; the record's page otherwise.
    target: Callable[[EntityAdmin, Performed], str] | None = None


def action_page(admin: EntityAdmin, request: HttpRequest, record_id: UUID, *, action: Action) -> HttpResponse:
    """The guided page of a declared action on one record.

    Raises: Forbidden, Http404.
    """
    seen, guide = admin.view_of(request), admin.guides.get(action.name, Guide())
    if not can_perform(seen, action):
        raise Forbidden()
    record = admin.get_record(request, str(record_id), action.verb)
    inputs = {item.name: item for item in action.input if not guide.fields or item.name in guide.fields}

    def act(filled: dict[str, Any]) -> tuple[str, str]:
        document = {
            name: as_json(item, filled.get(name, ""))
            for name, item in inputs.items()
            if item.kind is Kind.BOOLEAN or filled.get(name) not in ("", None)
        }
        performed = perform(
            seen,
            action.name,
            record.pk,
            document,
            now=timezone.now(),
            expected_version=getattr(record, "version", None),
        )
        target = guide.target(admin, performed) if guide.target else admin.record_url(record.pk)
        done = guide.done
        return target, done if isinstance(done, str) else done(admin, seen.actor, record, performed, filled)

    lead_in = guide.lead_in or action.description
    return guided_page(
        admin,
        request,
        record,
        title=f"{action.label} {record}",
        submit_label=guide.submit_label or action.label,
        lead_in=lead_in if isinstance(lead_in, str) else lead_in(record),
        fields={name: _control(item, guide, seen.actor, record) for name, item in inputs.items()},
        initial=guide.initial(record),
        aliases=guide.aliases,
        act=act,
    )


def _control(item: Field, guide: Guide, actor: Actor, record: Any) -> forms.Field:
    made = control(item, actor)
    if item.name in guide.choices:
        made.widget = choice_select(guide.choices[item.name](actor, record))
    made.help_text = guide.help_texts.get(item.name, made.help_text)
    # The action judges what is required, and everything that is filled in is sent.
    made.required = False
    made.show_hidden_initial = False
    if item.default is not None:
        made.initial = as_text(item, item.default)
    return made


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
            target, message = done
            messages.success(request, message)
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
