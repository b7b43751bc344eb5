"""The pages behind emailed links: accepting an invitation, opening a company. Open to whoever is not signed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import site
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters

from core.backoffice.forms import ActionForm, password_input, text_input
from core.backoffice.middleware import CHOSEN, SOURCE, origin_of
from core.backoffice.password_reset import NewPasswordForm
from core.identity import operations
from core.identity.operations import OpenInvitation, OpenRegistration
from core.kernel.errors import DomainError
from core.tenancy.context import system_context

Found = OpenInvitation | OpenRegistration


@dataclass(frozen=True)
class _Door:
    """What differs between the two kinds of links. Both operations commit by themselves."""

    # The key of the session that keeps the token, so that it leaves the address at once.
    kept_as: str
    find: Callable[..., Found]
    take: Callable[..., operations.Joined]
    submit_label: str


_INVITATION = _Door(
    "invitation_token", operations.find_invitation, operations.accept_invitation, "Accept the invitation"
)
_REGISTRATION = _Door(
    "registration_token",
    operations.find_registration,
    operations.confirm_registration,
    "Open the company",
)


class NewPersonForm(NewPasswordForm):
    """Who the person is and the password they choose."""

    first_name = forms.CharField(max_length=150, widget=text_input(autocomplete="given-name"))
    last_name = forms.CharField(max_length=150, required=False, widget=text_input(autocomplete="family-name"))
    field_order = ("first_name", "last_name", "new_password", "repeated")


class PresentPasswordForm(ActionForm):
    password = forms.CharField(strip=False, max_length=4_096, widget=password_input("current-password"))


class NothingForm(ActionForm):
    """A person who is signed in only agrees."""


def _public(view: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    @wraps(view)
    def guarded(request: HttpRequest) -> HttpResponse:
        with system_context("opening an emailed link", source=SOURCE, origin=origin_of(request)):
            return view(request)

    decorated: Callable[[HttpRequest], HttpResponse] = never_cache(
        csrf_protect(sensitive_post_parameters()(guarded))
    )
    return decorated


@_public
def invitation(request: HttpRequest) -> HttpResponse:
    """Join the company that invites."""
    return _answer(request, _INVITATION)


@_public
def registration(request: HttpRequest) -> HttpResponse:
    """Found the company that was asked for."""
    return _answer(request, _REGISTRATION)


def _answer(request: HttpRequest, door: _Door) -> HttpResponse:
    if "token" in request.GET:
        request.session[door.kept_as] = request.GET["token"][:255]
        return HttpResponseRedirect(request.path)
    token = request.session.get(door.kept_as, "")
    try:
        found = door.find(token=token, now=timezone.now(), source=SOURCE)
    except DomainError:
        return _page(request, "This link has ended", None, found=None)
    user: Any = request.user
    is_theirs = user.is_authenticated and user.email == found.email
    form = _form(request, found, is_theirs)
    if form.is_bound and form.is_valid():
        try:
            joined = door.take(
                token=token,
                now=timezone.now(),
                password=form.cleaned_data.get("new_password") or form.cleaned_data.get("password") or "",
                first_name=form.cleaned_data.get("first_name", ""),
                last_name=form.cleaned_data.get("last_name", ""),
                signed_in_id=user.pk if is_theirs else None,
                source=SOURCE,
            )
        except DomainError as refusal:
            form.show_faults(refusal, {"password": "new_password"} if found.chooses_password else {})
        else:
            return _welcome(request, door, joined, stays=is_theirs and not found.chooses_password)
    title = (
        f"Join {found.company.name}" if isinstance(found, OpenInvitation) else f"Open {found.company_name}"
    )
    return _page(request, title, form, found=found, submit_label=door.submit_label, is_theirs=is_theirs)


def _form(request: HttpRequest, found: Found, is_theirs: bool) -> ActionForm:
    data = request.POST if request.method == "POST" else None
    if found.chooses_password:
        return NewPersonForm(data, initial={"first_name": found.first_name, "last_name": found.last_name})
    return NothingForm(data) if is_theirs else PresentPasswordForm(data)


def _welcome(request: HttpRequest, door: _Door, joined: operations.Joined, *, stays: bool) -> HttpResponse:
    """Whoever is signed in goes on in the company; everybody else signs in, by the one way there is."""
    if stays:
        del request.session[door.kept_as]
        request.session[CHOSEN] = joined.company.slug
        messages.success(request, f"You have joined {joined.company.name}.")
        return HttpResponseRedirect(reverse("admin:index"))
    request.session.flush()
    messages.success(request, f"You have joined {joined.company.name}. Sign in to go on.")
    return HttpResponseRedirect(reverse("admin:login"))


def _page(request: HttpRequest, title: str, form: ActionForm | None, **facts: Any) -> HttpResponse:
    context = {**site.each_context(request), "title": title, "form": form, **facts}
    return TemplateResponse(request, "backoffice/link.html", context).render()
