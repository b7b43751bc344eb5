"""What is built on cookies belongs to the back office: the API, which knows none, passes it by."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import middleware as auth
from django.contrib.messages import middleware as messages
from django.contrib.sessions import middleware as sessions
from django.http import HttpRequest
from django.middleware import csrf

from core.rest.paths import API


class _NotForTheApi:
    """Goes before a middleware of Django's."""

    get_response: Any

    def __call__(self, request: HttpRequest) -> Any:
        if request.path_info.startswith(API):
            return self.get_response(request)
        return super().__call__(request)  # type: ignore[misc]


class SessionMiddleware(_NotForTheApi, sessions.SessionMiddleware):
    pass


class CsrfViewMiddleware(_NotForTheApi, csrf.CsrfViewMiddleware):
    """A view of the API that were not exempt would still be refused: `process_view` runs wherever it is."""


class AuthenticationMiddleware(_NotForTheApi, auth.AuthenticationMiddleware):
    pass


class MessageMiddleware(_NotForTheApi, messages.MessageMiddleware):
    pass
