"""One's own password, changed by the operation of the API; and a member's, set by who manages users."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import site
from django.contrib.auth import update_session_auth_hash
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters

from core.backoffice.forms import ActionForm, password_input
from core.backoffice.middleware import SOURCE, BackOfficeBackend
from core.backoffice.writing import actor_of
from core.identity.operations import change_password
from core.kernel.errors import DomainError
from core.kernel.transactions import unit_of_work


class OwnPasswordForm(ActionForm):
    """The password now, and the new one twice: nobody sees what they type."""

    current_password = forms.CharField(strip=False, widget=password_input("current-password"))
    new_password = forms.CharField(strip=False, widget=password_input("new-password"))
    repeated = forms.CharField(label="New password again", strip=False, widget=password_input("new-password"))

    def clean(self) -> dict[str, Any]:
        filled = dict(self.cleaned_data)
        if {"new_password", "repeated"} <= filled.keys() and filled["new_password"] != filled["repeated"]:
            self.add_error("repeated", "This is not the same as the new password.")
        return filled


@sensitive_post_parameters()
def change_own(request: HttpRequest) -> HttpResponse:
    """Change the password of who is signed in; every other session of theirs ends, here and in the API.

    The operation commits by itself, so the middleware opens no transaction for this page.
    """
    actor = actor_of(request)
    form = OwnPasswordForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        try:
            change_password(
                actor,
                current_password=form.cleaned_data["current_password"],
                new_password=form.cleaned_data["new_password"],
                now=timezone.now(),
                source=SOURCE,
            )
        except DomainError as refusal:
            form.show_faults(refusal)
        else:
            # This session goes on: it carries the mark of the new password from now on.
            person = BackOfficeBackend().get_user(actor.user_id) if actor.user_id else None
            if person is not None:
                update_session_auth_hash(request, person)
            messages.success(request, "Your password was changed. You are signed out everywhere else.")
            return HttpResponseRedirect(reverse("admin:index"))
    with unit_of_work():
        context = {
            **site.each_context(request),
            "title": "Change password",
            "form": form,
            "lead_in": "You stay signed in here; everywhere else you sign in again.",
            "submit_label": "Change password",
            "back_url": reverse("admin:index"),
        }
        return TemplateResponse(request, "backoffice/action.html", context).render()
