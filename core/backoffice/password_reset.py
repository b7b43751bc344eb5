"""“Forgot your password?”: asking for the link, and the page behind it. Open to whoever is not signed in."""

from __future__ import annotations

from collections.abc import Callable
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
from core.backoffice.middleware import SOURCE, origin_of
from core.delivery.operations import confirm_password_reset, request_password_reset
from core.kernel.errors import DomainError
from core.tenancy.context import system_context

# Where the session keeps the token of the link, so that it leaves the address at once.
_TOKEN = "password_reset_token"  # noqa: S105 - the name of a key


class AskForm(ActionForm):
    email = forms.CharField(
        label="Email address",
        max_length=255,
        widget=text_input("email", autocomplete="username", inputmode="email", autofocus=True),
    )


class NewPasswordForm(ActionForm):
    """The new password twice: nobody sees what they type."""

    new_password = forms.CharField(
        strip=False,
        max_length=4_096,
        widget=password_input("new-password"),
        help_text="At least 10 characters, not all of them digits, and none of the common ones.",
    )
    repeated = forms.CharField(
        label="New password again", strip=False, max_length=4_096, widget=password_input("new-password")
    )

    def clean(self) -> dict[str, Any]:
        filled = dict(self.cleaned_data)
        if {"new_password", "repeated"} <= filled.keys() and filled["new_password"] != filled["repeated"]:
            self.add_error("repeated", "This is not the same as the new password.")
        return filled


def _public(view: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    @wraps(view)
    def guarded(request: HttpRequest) -> HttpResponse:
        with system_context("resetting a password", source=SOURCE, origin=origin_of(request)):
            return view(request)

    decorated: Callable[[HttpRequest], HttpResponse] = never_cache(
        csrf_protect(sensitive_post_parameters()(guarded))
    )
    return decorated


@_public
def ask(request: HttpRequest) -> HttpResponse:
    """The same answer for known and unknown addresses."""
    form = AskForm(request.POST if request.method == "POST" else None)
    is_asked = False
    if form.is_bound and form.is_valid():
        try:
            request_password_reset(email=form.cleaned_data["email"], now=timezone.now(), source=SOURCE)
            is_asked = True
        except DomainError as refusal:
            form.show_faults(refusal)
    return _page(request, "Reset your password", form, stage="asked" if is_asked else "ask")


@_public
def choose(request: HttpRequest) -> HttpResponse:
    """The new password. The token moves from the address into the session first."""
    if "token" in request.GET:
        request.session[_TOKEN] = request.GET["token"][:255]
        return HttpResponseRedirect(request.path)
    token = request.session.get(_TOKEN, "")
    form = NewPasswordForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        password = form.cleaned_data["new_password"]
        try:
            confirm_password_reset(token=token, new_password=password, now=timezone.now(), source=SOURCE)
        except DomainError as refusal:
            if any(fault.path == "token" for fault in refusal.faults):
                token = ""
            form.show_faults(refusal)
        else:
            request.session.flush()
            messages.success(request, "Your password was changed. Sign in with the new one.")
            return HttpResponseRedirect(reverse("admin:login"))
    return _page(request, "Choose a new password", form, stage="choose" if token else "ended")


def _page(request: HttpRequest, title: str, form: ActionForm, *, stage: str) -> HttpResponse:
    context = {**site.each_context(request), "title": title, "form": form, "stage": stage}
    return TemplateResponse(request, "backoffice/password_reset.html", context).render()
