"""Who sends a request: `Authorization: Bearer <token>` or `Authorization: Api-Key <prefix>.<secret>`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from core.identity.queries import find_actor_by_access_token, find_actor_by_api_key
from core.kernel.errors import NotSignedIn
from core.tenancy.actors import Actor

COMPANY_HEADER = "X-Company"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """`request.user` of the API. All else about the caller is in the `Actor` (`request.auth`)."""

    pk: UUID | None
    is_authenticated: ClassVar[bool] = True
    is_active: ClassVar[bool] = True
    is_anonymous: ClassVar[bool] = False

    @property
    def id(self) -> UUID | None:
        return self.pk

    def __str__(self) -> str:
        return str(self.pk)


class _HeaderAuthentication(BaseAuthentication):
    """Takes requests whose Authorization header begins with `scheme`; any other it leaves to the next class."""

    scheme: ClassVar[str]
    find_actor: ClassVar[staticmethod[[str, datetime, str | None], Actor]]

    def authenticate(self, request: Request) -> tuple[SignedIn, Actor] | None:
        """Raises: NotSignedIn, Forbidden (`not_a_member`)."""
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != self.scheme.lower():
            return None
        if not credentials.strip():
            raise NotSignedIn("The Authorization header carries nothing.", code="token_invalid")
        actor = type(self).find_actor(
            credentials.strip(), timezone.now(), request.headers.get(COMPANY_HEADER)
        )
        request._request.actor = actor  # type: ignore[attr-defined]
        return SignedIn(actor.user_id), actor

    def authenticate_header(self, request: Request) -> str:
        return f'{self.scheme} realm="api"'


class BearerAuthentication(_HeaderAuthentication):
    scheme = "Bearer"
    find_actor = staticmethod(find_actor_by_access_token)


class ApiKeyAuthentication(_HeaderAuthentication):
    scheme = "Api-Key"
    find_actor = staticmethod(find_actor_by_api_key)
