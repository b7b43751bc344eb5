"""What the framework offers to declare on a view works, or the class is refused when it is made."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from django.test import RequestFactory
from rest_framework.authentication import BaseAuthentication
from rest_framework.metadata import SimpleMetadata
from rest_framework.parsers import BaseParser
from rest_framework.permissions import BasePermission
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.versioning import AcceptHeaderVersioning

from core.rest.declarations import Operation
from core.rest.negotiation import ContentNegotiation
from core.rest.views import MEMBER, ApiView
from tests.worlds import World


class Lines(BaseParser):
    media_type = "text/plain"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> list[str]:
        return stream.read().decode().splitlines()


class Shout(BaseRenderer):
    media_type, format, charset = "text/plain", "txt", "utf-8"

    def render(self, data: Any, media_type: Any = None, renderer_context: Any = None) -> str:
        return str(data).upper()


class ShoutAlways(ContentNegotiation):
    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> tuple[Any, str]:
        return Shout(), Shout.media_type


class Nobody(BasePermission):
    def has_permission(self, request: Any, view: Any) -> bool:
        return False


class Never(BaseThrottle):
    def allow_request(self, request: Any, view: Any) -> bool:
        return False

    def wait(self) -> float:
        return 6.2


class ByName(BaseAuthentication):
    """Signs in as the member that a header names."""

    world: ClassVar[World]

    def authenticate(self, request: Any) -> Any:
        role = request.META.get("HTTP_X_ROLE")
        return None if role is None else (role, self.world.actor(role))


class Plain(ApiView):
    verbs: ClassVar[Any] = {"get": MEMBER, "post": MEMBER}
    schemas: ClassVar[Any] = {"post": Operation(request={"type": "object"})}

    def get(self, request: Request) -> Response:
        return Response({"who": str(self.actor.user_id)})

    def post(self, request: Request) -> Response:
        return Response({"sent": request.data})


def answer(
    world: World, method: str = "get", body: str = "", media_type: str = "application/json", **declared: Any
) -> Any:
    """What a view with these attributes answers a member."""
    headers = {"Authorization": f"Bearer {world.token('sales')}"} | declared.pop("headers", {})
    view = type("Declared", (Plain,), declared).as_view()
    request = getattr(RequestFactory(headers=headers), method)("/", body, content_type=media_type)
    return view(request)


class TestDeclared:
    def test_permissions_are_asked_for(self, acme: World) -> None:
        assert answer(acme).status_code == 200
        refused = answer(acme, permission_classes=(Nobody,))
        assert (refused.status_code, refused.data["code"]) == (403, "forbidden")

    def test_throttles_hold_requests_back(self, acme: World) -> None:
        refused = answer(acme, throttle_classes=(Never,))
        assert (refused.status_code, refused.data["code"]) == (429, "too_many_requests")
        assert refused["Retry-After"] == "7"

    def test_authentication_is_the_only_one(self, acme: World) -> None:
        ByName.world = acme
        assert answer(acme, authentication_classes=(ByName,)).status_code == 401
        known = answer(acme, authentication_classes=(ByName,), headers={"X-Role": "viewer"})
        assert known.data["who"] == str(acme.users["viewer"])

    def test_parsers_read_the_body(self, acme: World) -> None:
        sent = answer(acme, "post", "one\ntwo", "text/plain", parser_classes=(Lines,))
        assert sent.data == {"sent": ["one", "two"]}
        assert answer(acme, "post", "one\ntwo", "text/plain").status_code == 415

    def test_renderers_write_the_answer_but_no_problem(self, acme: World) -> None:
        shouted = answer(acme, renderer_classes=(Shout,))
        assert shouted.content.startswith(b"{'WHO'")
        assert shouted["Content-Type"].startswith("text/plain")
        refused = answer(acme, renderer_classes=(Shout,), permission_classes=(Nobody,))
        assert refused["Content-Type"] == "application/problem+json"
        assert refused.content.startswith(b'{"type"')

    def test_negotiation_chooses_the_renderer(self, acme: World) -> None:
        shouted = answer(acme, content_negotiation_class=ShoutAlways)
        assert shouted["Content-Type"].startswith("text/plain")

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("versioning_class", AcceptHeaderVersioning),
            ("metadata_class", type("Own", (SimpleMetadata,), {})),
            ("initial", lambda self, request, *args, **kwargs: None),
        ],
    )
    def test_what_would_be_ignored_is_refused(self, name: str, value: Any) -> None:
        with pytest.raises(TypeError, match=f"Declared.{name} would not be read"):
            type("Declared", (ApiView,), {name: value})

    def test_what_a_mixin_declares_in_vain_is_refused_too(self) -> None:
        class Versioned:
            versioning_class = AcceptHeaderVersioning

        with pytest.raises(TypeError, match="versioning_class"):
            type("Declared", (Versioned, ApiView), {})
