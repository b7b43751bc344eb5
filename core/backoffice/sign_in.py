"""Signing in to the back office by form. `BackOfficeBackend` asks the same operation as the API's sign-in does."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from unfold.forms import AuthenticationForm as UnfoldAuthenticationForm

from core.backoffice.middleware import DEVICE_COOKIE, SOURCE, find_actor
from core.identity.devices import LIFETIME, make_device_token
from core.identity.operations import remember_entry
from core.kernel.transactions import retried


class SignInForm(UnfoldAuthenticationForm):
    """E-mail address and password. Unknown, wrong, inactive and too many tries all answer alike.

    A second factor would be asked for between this form being valid and the session being opened: a view of its own
    that keeps the proven user in the session and calls `django.contrib.auth.login` only after the code is right. Its
    form is shown by the template of this one, which says `second_step` above the code.
    """

    # What the person is told about the code they are asked for; empty: nobody has a second factor.
    second_step = ""

    error_messages = {
        **AuthenticationForm.error_messages,
        "invalid_login": "This e-mail address and password do not go together, or there were too many tries. "
        "Check both, or try again in a minute.",
    }

    def __init__(self, request: HttpRequest | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        self.fields["username"].label = "E-mail address"
        self.fields["username"].widget.attrs |= {"autocomplete": "username", "inputmode": "email"}
        self.fields["password"].widget.attrs |= {"autocomplete": "current-password"}

    def confirm_login_allowed(self, user: Any) -> None:
        if not user.is_active:
            raise self.get_invalid_login_error()

    def get_invalid_login_error(self) -> ValidationError:
        return ValidationError(self.error_messages["invalid_login"], code="invalid_login")


def remember_sign_in(request: HttpRequest, response: HttpResponse) -> None:
    """Let the browser be known at its next sign-in, and note when the person was last in the company they enter."""
    user: Any = request.user
    response.set_cookie(
        DEVICE_COOKIE,
        make_device_token(user.email),
        max_age=LIFETIME,
        path=reverse("admin:login"),
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
    actor = find_actor(request)
    if actor is not None and actor.membership_id is not None:
        retried(lambda: remember_entry(actor, now=timezone.now(), source=SOURCE))
