"""Paths of the API that are written a little differently: without a version, or without the closing slash."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

API = "/api/"
CURRENT = "/api/v1/"


class ApiPathMiddleware:
    """`/api/<rest>` answers 308 to `/api/v1/<rest>`; a missing closing slash is read as if it stood there."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        path = request.path_info
        if path.startswith(API):
            rest = path.removeprefix(API)
            if rest and not (rest.startswith("v") and rest[1:2].isdigit()):
                moved = HttpResponse(status=308)
                moved["Location"] = CURRENT + request.get_full_path().removeprefix(API)
                return moved
            if not path.endswith("/") and "." not in path.rsplit("/", 1)[-1]:
                request.path_info = path + "/"
                request.path = request.path + "/"
        return self.get_response(request)
