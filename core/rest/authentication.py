"""Who sends a request: `Authorization: Bearer <token>` or `Authorization: Api-Key <prefix>.<secret>`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from core.identity.queries import find_actor_by_access_token, find_actor_by_api_key
from core.kernel.errors import NotSignedIn
from core.tenancy.actors import Actor

# `X-Company` among a request's `META`.
COMPANY = "HTTP_X_COMPANY"


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

    def find_actor(self, request: Request, credentials: str) -> Actor:
        raise NotImplementedError

    def authenticate(self, request: Request) -> tuple[SignedIn, Actor] | None:
        """Raises: NotSignedIn, Forbidden (`not_a_member`)."""
        scheme, _, credentials = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != self.scheme.lower():
            return None
        if not credentials.strip():
            raise NotSignedIn("The Authorization header carries nothing.", code="token_invalid")
        actor = self.find_actor(request, credentials.strip())
        request._request.actor = actor  # type: ignore[attr-defined]
        return SignedIn(actor.user_id), actor

    def authenticate_header(self, request: Request) -> str:
        return f'{self.scheme} realm="api"'


class BearerAuthentication(_HeaderAuthentication):
    scheme = "Bearer"

    def find_actor(self, request: Request, credentials: str) -> Actor:
        return find_actor_by_access_token(credentials, timezone.now(), request.META.get(COMPANY))


class ApiKeyAuthentication(_HeaderAuthentication):
    scheme = "Api-Key"

    def find_actor(self, request: Request, credentials: str) -> Actor:
        return find_actor_by_api_key(credentials, timezone.now(), request.META.get(COMPANY))
