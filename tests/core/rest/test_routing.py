"""Routes are looked for among those that begin with the path's first word."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse
from django.urls import Resolver404, path

from core.rest.routing import RoutesByFirstWord


def _answer(request: object, **_: object) -> HttpResponse:
    return HttpResponse()


ROUTES = RoutesByFirstWord(
    "api/",
    [path("leads/", _answer, name="leads"), path("lead/<str:pk>/", _answer, name="lead")],
)


class TestRoutesByFirstWord:
    def test_find_a_route_and_its_parameters(self) -> None:
        assert ROUTES.resolve("api/leads/").url_name == "leads"
        assert ROUTES.resolve("api/lead/7/").kwargs == {"pk": "7"}

    @pytest.mark.parametrize("unknown", ["api/", "api/lea", "api/leads", "api/lead/", "leads/", "api/deals/"])
    def test_know_no_other_path(self, unknown: str) -> None:
        with pytest.raises(Resolver404):
            ROUTES.resolve(unknown)

    def test_refuse_a_route_that_begins_with_a_parameter(self) -> None:
        with pytest.raises(ImproperlyConfigured):
            RoutesByFirstWord("api/", [path("<str:pk>/", _answer)]).resolve("api/7/")
