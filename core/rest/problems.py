"""Errors as RFC 9457 problem documents. The only way an exception reaches a client."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from math import ceil
from typing import Any

import structlog
from django.core.exceptions import (
    BadRequest,
    DisallowedHost,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
)
from django.db import DataError, IntegrityError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, UnreadablePostError
from rest_framework import exceptions as drf
from rest_framework.response import Response

from core.kernel.errors import (
    Conflict,
    DomainError,
    Fault,
    Forbidden,
    InsufficientStorage,
    Invalid,
    NotFound,
    NotSignedIn,
    TooLarge,
    TooManyRequests,
    Unavailable,
)
from core.kernel.transactions import RETRIED_STATES, sql_state
from core.observability import correlation
from core.rest.encoding import CURRENT_VERSION, PROBLEM_JSON, Exchange, encoded

log = structlog.get_logger(__name__)

TYPE_PREFIX = "urn:atrium:problem:"
RETRY_SECONDS = 1
LOCK_NOT_AVAILABLE = "55P03"
QUERY_CANCELED = "57014"
DISK_FULL = "53100"


class LengthRequired(DomainError):
    code, status, title = "length_required", 411, "A body needs a Content-Length"


class UnsupportedMediaType(DomainError):
    code, status, title = "unsupported_media_type", 415, "This content type is not read here"


class NotAcceptable(DomainError):
    code, status, title = "not_acceptable", 406, "No such representation is served"


class MethodNotAllowed(DomainError):
    code, status, title = "method_not_allowed", 405, "This method is not served here"


class InternalError(DomainError):
    code, status, title = "internal_error", 500, "Something went wrong on our side"


def as_domain_error(error: Exception) -> DomainError:
    """The domain error that a foreign exception means; what nobody foresaw is an `InternalError`."""
    if isinstance(error, DomainError):
        return error
    if isinstance(error, Http404 | drf.NotFound):
        return NotFound()
    if isinstance(error, drf.MethodNotAllowed):
        return MethodNotAllowed(str(error.detail))
    if isinstance(error, drf.UnsupportedMediaType):
        return UnsupportedMediaType(str(error.detail))
    if isinstance(error, drf.NotAcceptable):
        return NotAcceptable()
    if isinstance(error, drf.NotAuthenticated | drf.AuthenticationFailed):
        return NotSignedIn()
    if isinstance(error, PermissionDenied | drf.PermissionDenied):
        return Forbidden()
    if isinstance(error, drf.Throttled):
        return TooManyRequests(retry_after=ceil(getattr(error, "wait", None) or RETRY_SECONDS))
    if isinstance(error, RequestDataTooBig | TooManyFieldsSent):
        return TooLarge()
    if isinstance(
        error, UnreadablePostError | BadRequest | SuspiciousOperation | DisallowedHost | drf.ParseError
    ):
        return Invalid("The request cannot be read.", code="unreadable")
    if isinstance(error, IntegrityError):
        # Two requests raced; the loser's own check ran too early to see the winner.
        log.info("integrity_conflict", state=sql_state(error))
        return Conflict("Another request stored the same at the same time, or the record is still in use.")
    if isinstance(error, DataError):
        log.warning("value_refused_by_database", state=sql_state(error))
        return Invalid("A value is out of range.", code="out_of_range")
    if isinstance(error, OperationalError | InterfaceError):
        if sql_state(error) in RETRIED_STATES | {LOCK_NOT_AVAILABLE}:
            return Conflict("The record is busy; try again.", code="busy", retry_after=RETRY_SECONDS)
        if sql_state(error) == QUERY_CANCELED:
            log.warning("statement_timeout", exc_info=error)
            return Unavailable(
                "This took longer than a request may take. Ask for less at once: narrower filters, smaller pages, cursor=.",
                code="timeout",
                retry_after=RETRY_SECONDS,
            )
        if sql_state(error) == DISK_FULL:
            log.error("database_full", exc_info=error)
            return InsufficientStorage()
        log.error("database_unavailable", exc_info=error)
        return Unavailable("The database cannot be reached now.", retry_after=RETRY_SECONDS)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        # An upload that found no room for its temporary file.
        log.error("disk_full", exc_info=error)
        return InsufficientStorage()
    log.error("unhandled_exception", exc_info=error)
    return InternalError()


def document(error: DomainError) -> dict[str, Any]:
    """The problem document of an error."""
    extra = {name: value for name, value in error.extra.items() if name != "retry_after"}
    return {
        "type": TYPE_PREFIX + error.code,
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "correlation_id": correlation.current_id(),
        "errors": faults_as_json(error.faults),
        **extra,
    }


def faults_as_json(faults: Iterable[Fault]) -> list[dict[str, str]]:
    return [{"path": fault.path, "code": fault.code, "detail": fault.detail} for fault in faults]


def response(error: Exception) -> Response:
    """The answer to a request that ended in this exception, not encoded yet."""
    refusal = as_domain_error(error)
    answer = Response(document(refusal), status=refusal.status, content_type=PROBLEM_JSON)
    if "retry_after" in refusal.extra:
        answer["Retry-After"] = str(refusal.extra["retry_after"])
    if refusal.status == NotSignedIn.status:
        answer["WWW-Authenticate"] = 'Bearer realm="api"'
    return answer


def outside_views(request: HttpRequest, error: Exception) -> Response:
    """The answer below /api/ where no view answers: an unknown path, a request that Django itself refuses."""
    answer = response(error)
    answer.accepted_media_type, answer.renderer_context = PROBLEM_JSON, {}  # type: ignore[attr-defined]
    return encoded(Exchange(CURRENT_VERSION, request.method or "", request.path), answer)
