"""The outermost middleware."""

import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from core.observability.access_lines import access_lines
from core.observability.correlation import HEADER, META_NAME, bound_facts, correlation


class CorrelationIdMiddleware:
    """Runs each request under a correlation id, answers with it, and writes one access line.

    The line never holds the query string, headers or bodies: they may carry personal data and secrets.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        with correlation(request.META.get(META_NAME)) as correlation_id:
            response = self.get_response(request)
            response[HEADER] = correlation_id
            access_lines.add(
                {
                    **bound_facts(),
                    "method": request.method,
                    "path": request.path,
                    "status_code": response.status_code,
                    "latency_ms": round((time.perf_counter() - started) * 1000, 1),
                }
            )
            return response
