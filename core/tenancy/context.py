"""The context of every statement: which company, who, from where.

It is bound in four places only: the HTTP base view, the task base, the command base and the test fixtures. Outside a
company, scoped managers raise and the database shows no rows. System work that crosses companies says so with
`system_context(reason)`, which is greppable and runs under a database role of its own.
"""

from __future__ import annotations

import hashlib
from contextvars import ContextVar, Token
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

import orjson
from django.conf import settings
from django.utils.encoding import force_bytes

from core.tenancy.actors import Actor


class NoCompanyInContext(Exception):
    """A company's table was touched outside any company."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from; all of it lands in the change log."""

    ip: str | None = None
    user_agent: str = ""
    correlation_id: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    company_id: UUID | None = None
    actor: Actor | None = None
    # The reason, when this is work across companies.
    system: str = ""
    source: str = "shell"
    origin: Origin = Origin()

    def for_database(self) -> str:
        """What the change log keeps, as JSON behind a signature: the database role alone cannot speak for anybody."""
        actor, origin = self.actor, self.origin
        facts: dict[str, object] = {
            "source": self.source,
            "ip": origin.ip,
            "user_agent": origin.user_agent[:500],
            "correlation_id": origin.correlation_id,
            "reason": self.system,
        }
        if actor is not None:
            facts |= {
                "actor_id": actor.user_id,
                "session_id": actor.session_id,
                "api_key_id": actor.api_key_id,
                "impersonator_id": actor.impersonator_id,
                "cause": actor.cause,
                "depth": actor.depth,
            }
        document = orjson.dumps({name: value for name, value in facts.items() if value})
        return _signature(str(self.company_id or "").encode() + document) + document.decode()


@lru_cache(maxsize=1)
def context_keys() -> tuple[bytes, ...]:
    """What contexts are signed with, the key in use first. `migrate` tells the database, so rotate by fallbacks."""
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return tuple(hashlib.sha256(b"change context " + force_bytes(secret)).digest() for secret in secrets)


def _signature(signed: bytes) -> str:
    # Nested, so that nothing can be appended; PostgreSQL has this hash without an extension.
    key = context_keys()[0]
    return hashlib.sha256(key + hashlib.sha256(key + signed).digest()).hexdigest()


_current: ContextVar[Context] = ContextVar("tenancy_context", default=Context())  # noqa: B039 - it is frozen


def current() -> Context:
    return _current.get()


def current_company_id() -> UUID:
    """The company in context.

    Raises: NoCompanyInContext.
    """
    company_id = _current.get().company_id
    if company_id is None:
        raise NoCompanyInContext("bind a company first: company_context(company_id)")
    return company_id


class Binding:
    """Binds a context from `with` to its end. The database backend tells an open transaction before its next statement."""

    __slots__ = ("_context", "_token")

    def __init__(self, context: Context) -> None:
        self._context = context

    def __enter__(self) -> Context:
        self._token: Token[Context] = _current.set(self._context)
        return self._context

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)


def company_context(
    company_id: UUID, *, actor: Actor | None = None, source: str = "shell", origin: Origin | None = None
) -> Binding:
    """Everything inside sees this company only. Works inside and outside a transaction."""
    if actor is not None and actor.company_id != company_id:
        raise ValueError("the actor belongs to another company")
    return Binding(Context(company_id, actor, "", source, origin or _current.get().origin))


def actor_context(actor: Actor, *, source: str, origin: Origin | None = None) -> Binding:
    """`company_context` of the actor's company, with the actor in it."""
    return company_context(actor.company_id, actor=actor, source=source, origin=origin)


def system_context(reason: str, *, source: str = "task", origin: Origin | None = None) -> Binding:
    """Work across companies, under the platform role. `reason` is kept in the change log."""
    return Binding(Context(None, None, reason, source, origin or _current.get().origin))
