"""Domain errors. Each carries a stable code and an HTTP-neutral status number; `core.rest.problems` renders them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with an input: where (dotted path), a stable code, a sentence for people."""

    path: str
    code: str
    detail: str

    def below(self, prefix: str) -> Fault:
        """The same fault, seen from a document that holds this one at `prefix`."""
        return Fault(f"{prefix}.{self.path}" if self.path else prefix, self.code, self.detail)


class DomainError(Exception):
    """Base of every refusal a client can cause. `extra` becomes members of the problem document."""

    code = "refused"
    status = 400
    title = "The request was refused"

    def __init__(
        self, detail: str = "", *, code: str = "", faults: Sequence[Fault] = (), **extra: Any
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.code = code or type(self).code
        self.faults = tuple(faults)
        self.extra = extra


class Invalid(DomainError):
    """The input is wrong; `faults` says where."""

    code, status, title = "invalid", 400, "The input is not valid"


def as_object(document: Any, path: str = "") -> Mapping[str, Any]:
    """The input at this path, if it is a JSON object.

    Raises: Invalid.
    """
    if not isinstance(document, Mapping):
        raise Invalid(faults=[Fault(path, "not_an_object", "A JSON object is expected.")])
    return document


class NotSignedIn(DomainError):
    code, status, title = "not_signed_in", 401, "Sign in first"


class Forbidden(DomainError):
    code, status, title = "forbidden", 403, "This is not allowed for you"


# Codes of faults that say what an actor may not do, rather than what is wrong with the input.
MASKED, NOT_EDITABLE = "field_masked", "not_editable"


def refused_input(detail: str = "", *, faults: Sequence[Fault]) -> DomainError:
    """The refusal that fits the faults: Forbidden if the actor may not do one of the things, otherwise Invalid."""
    kind = Forbidden if any(fault.code in (MASKED, NOT_EDITABLE) for fault in faults) else Invalid
    return kind(detail, faults=faults)


class NotFound(DomainError):
    code, status, title = "not_found", 404, "There is no such thing here"


class Conflict(DomainError):
    code, status, title = "conflict", 409, "This conflicts with what is stored"


class Gone(DomainError):
    code, status, title = "gone", 410, "This is no longer here"


class Stale(DomainError):
    code, status, title = "stale", 412, "The record has changed since you read it"


class TooLarge(DomainError):
    code, status, title = "too_large", 413, "The input is larger than the limit"


class Unprocessable(DomainError):
    code, status, title = "unprocessable", 422, "The input is well-formed but cannot be carried out"


class Locked(DomainError):
    code, status, title = "locked", 423, "The record is locked"


class TooManyRequests(DomainError):
    """`retry_after` (seconds) becomes the Retry-After header."""

    code, status, title = "too_many_requests", 429, "Too many requests"


class Unavailable(DomainError):
    code, status, title = "unavailable", 503, "The service cannot answer now"


class InsufficientStorage(DomainError):
    code, status, title = "insufficient_storage", 507, "There is no room left to store this"
