from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from core.observability.correlation import HEADER, correlation


class CorrelationIdMiddleware:
    """Runs each request under a correlation id, and answers with it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with correlation(request.headers.get(HEADER)) as correlation_id:
            response = self.get_response(request)
            response[HEADER] = correlation_id
            return response
