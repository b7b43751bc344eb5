"""`ApiView`: every request in one transaction, as one actor, with problems as its only errors."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, ClassVar

from django.db import close_old_connections
from django.http import HttpRequest, QueryDict
from django.http.response import HttpResponseBase
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.identity.operations import record_refusal
from core.kernel.errors import Fault, Forbidden, Invalid, TooLarge
from core.kernel.transactions import retried
from core.observability import correlation
from core.rest import idempotency, problems
from core.rest.addresses import client_ip
from core.rest.authentication import ApiKeyAuthentication, BearerAuthentication
from core.rest.declarations import SHAPE_PARAMETERS, Operation, declaration_of
from core.rest.encoding import CURRENT_VERSION, Exchange, JsonRenderer, encoded, find_version, served_versions
from core.rest.negotiation import ContentNegotiation
from core.rest.parsing import MAX_BODY_BYTES, StrictJsonParser
from core.tenancy.actors import Actor
from core.tenancy.context import Origin, actor_context, system_context

# An empty object, which some clients always send.
EMPTY_BODY_BYTES = len("{}")
# Query strings up to this length are kept parsed. None of them holds more parameters than Django reads.
LONGEST_KEPT = 900
# A verb that every signed-in member has.
MEMBER = "member"
# What the framework reads from a view and `ApiView` does not, and what to use instead.
_NOT_READ = {
    "versioning_class": "Accept-Version is negotiated for all views; see core.rest.encoding.",
    "metadata_class": "OPTIONS is not served; what there is, /metadata/ and the OpenAPI document say.",
    "initial": "override check_permissions, check_throttles or check_input.",
}


@lru_cache(maxsize=4096)
def _declared(view: Any, name: str) -> Operation:
    """What a handler takes; one that declares nothing takes nothing."""
    return view.declared(name) or Operation()


@lru_cache(maxsize=256)
def _made(classes: tuple[type, ...]) -> list[Any]:
    """One of each; they keep nothing between requests."""
    return [one() for one in classes]


@lru_cache(maxsize=1024)
def _query(text: str) -> QueryDict:
    """Programs ask the same again and again; nothing can change what is parsed."""
    return QueryDict(text)


def _has_more(environ: Mapping[str, Any]) -> bool:
    """Whether a body comes although its length was not told, in chunks or in frames of HTTP/2."""
    may_come = "HTTP_TRANSFER_ENCODING" in environ or not environ["SERVER_PROTOCOL"].startswith("HTTP/1")
    return may_come and bool(environ.get("wsgi.input_terminated")) and bool(environ["wsgi.input"].read(1))


class ApiView(APIView):
    """Base of every endpoint: decodes, signs in, checks, calls the handler and encodes, all in one transaction.

    `verbs` declares what right each method (or viewset action) needs: a verb, `MEMBER`, or `manage_users`; what is not
    declared is refused. `public` endpoints need no sign-in and run under the system's context.
    """

    authentication_classes: Any = (BearerAuthentication, ApiKeyAuthentication)
    parser_classes: Any = (StrictJsonParser,)
    renderer_classes: Any = (JsonRenderer,)
    content_negotiation_class = ContentNegotiation
    permission_classes: Any = ()
    throttle_classes: Any = ()
    http_method_names: Any = ["get", "head", "post", "put", "patch", "delete"]

    public: ClassVar[bool] = False
    verbs: ClassVar[Mapping[str, str]] = {}
    # Its operations keep what they wrote although the request fails (a counted wrong password): no transaction around.
    commits_itself: ClassVar[bool] = False
    max_body_bytes: ClassVar[int] = MAX_BODY_BYTES

    actor: Actor
    now: datetime
    origin: Origin

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuses what the framework would read from a view and this one does not."""
        super().__init_subclass__(**kwargs)
        for name, instead in _NOT_READ.items():
            if getattr(cls, name) is not getattr(ApiView, name):
                raise TypeError(f"{cls.__name__}.{name} would not be read: {instead}")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.args, self.kwargs = args, kwargs
        self.headers = {}
        self.now = timezone.now()
        self.request = incoming = self.initialize_request(request, *args, **kwargs)
        self.origin = Origin(
            client_ip(incoming), request.META.get("HTTP_USER_AGENT", ""), correlation.current_id()
        )
        try:
            answer = self._answer(incoming)
        except Exception as error:
            answer = self._encoded(incoming, self.handle_exception(error))
        # The framework binds the view's handlers to the view and the request to itself. Untied, both go with their answer, and
        # so does the body; tied, they stay until the garbage collector has looked for them.
        incoming.parser_context.clear()
        for method in self.http_method_names:
            self.__dict__.pop(method, None)
        return answer

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        query = request.META.get("QUERY_STRING", "")
        if len(query) <= LONGEST_KEPT and query.isascii():
            request.GET = _query(query)  # type: ignore[assignment]
        incoming = super().initialize_request(request, *args, **kwargs)
        # Asked for often, and otherwise looked for in vain before the request below is asked.
        incoming.META, incoming.method = request.META, request.method
        return incoming

    def get_authenticators(self) -> list[Any]:
        return _made(tuple(self.authentication_classes))

    def get_parsers(self) -> list[Any]:
        return _made(tuple(self.parser_classes))

    def get_renderers(self) -> list[Any]:
        return _made(tuple(self.renderer_classes))

    def handle_exception(self, exc: Exception) -> Any:
        if isinstance(exc, Forbidden) and hasattr(self, "actor"):
            what = f"{self.request.method} {self.request.path}"
            record_refusal(self.actor, what=what, code=exc.code, origin=self.origin)
        answer = problems.response(exc)
        if answer.status_code == problems.MethodNotAllowed.status:
            answer["Allow"] = ", ".join(self.allowed_methods)
        if answer.status_code >= problems.InternalError.status:
            close_old_connections()
        return answer

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        response["API-Version"] = self._version
        return response

    @property
    def exchange(self) -> Exchange:
        """The request, as transforms of API versions see it."""
        request = self.request
        return Exchange(
            self._version,
            request.method or "",
            request.path,
            getattr(self, "entity_name", ""),
            self.handler_name,
        )

    @property
    def _version(self) -> str:
        """The version the client speaks; the current one until that is known."""
        return getattr(self.request, "version", None) or CURRENT_VERSION

    # --- one request ----------------------------------------------------------------------------------------------

    def _answer(self, request: Request) -> HttpResponseBase:
        """One request: one transaction, which ends after everything that may still fail, encoding included."""
        self._check_size(request)
        self._negotiate(request)
        pristine = dict(self.__dict__)

        def work() -> HttpResponseBase:
            # A transaction that is tried again starts from the request alone, and reads the session again.
            self.__dict__ = dict(pristine)
            for name in ("_user", "_auth", "_authenticator"):
                request.__dict__.pop(name, None)
            with system_context("sign-in", source="api", origin=self.origin):
                self.perform_authentication(request)
                if self.public:
                    return self._handled(request)
            self.actor = request.auth  # type: ignore[assignment]
            correlation.identify(user_id=self.actor.user_id, company_id=self.actor.company_id)
            with actor_context(self.actor, source="api", origin=self.origin):
                return self._handled(request)

        return work() if self.commits_itself else retried(work)

    def _handled(self, request: Request) -> HttpResponseBase:
        """The handler's answer, encoded, if the caller may have it."""
        method = (request.method or "").lower()
        if method not in self.http_method_names or not hasattr(self, method):
            self.http_method_not_allowed(request)
        handler = getattr(self, method)
        self.check_permissions(request)
        self.check_throttles(request)
        self.check_input(request)

        def act() -> HttpResponseBase:
            return self._encoded(request, handler(request, *self.args, **self.kwargs))

        if request.method == "POST" and idempotency.META_NAME in request.META:
            body = self.body_for_fingerprint(request)
            kept = idempotency.once(request, self.actor, body, self.now, act)  # type: ignore[arg-type]
            return self.finalize_response(request, kept)
        return act()

    def _encoded(self, request: Request, answer: HttpResponseBase) -> HttpResponseBase:
        """The answer as it is sent. A document is encoded by `core.rest.encoding`; a file has its bytes already."""
        answer = self.finalize_response(request, answer)
        return encoded(self.exchange, answer) if isinstance(answer, Response) else answer

    def body_for_fingerprint(self, request: Request) -> bytes:
        """What tells two bodies apart under one Idempotency-Key; an upload says less than all of it."""
        return request._request.body

    def perform_authentication(self, request: Request) -> None:
        if self.public:
            return
        if request.auth is None:
            self.permission_denied(request)

    def check_permissions(self, request: Request) -> None:
        """The right that the request needs, and whatever `permission_classes` ask besides."""
        if not self.public:
            self.check_right()
        super().check_permissions(request)

    def check_right(self) -> None:
        """Raises: Forbidden unless the actor has the right this request needs."""
        verb = self.required_verb()
        if verb is None:
            raise Forbidden("No right has been declared for this.")
        if verb != MEMBER and not self.actor.rights.can(verb):
            raise Forbidden()

    @property
    def handler_name(self) -> str:
        """The action of a viewset, or the method in lower case; HEAD is answered by the handler of GET."""
        method = (self.request.method or "").lower()
        return getattr(self, "action", None) or ("get" if method == "head" else method)

    def required_verb(self) -> str | None:
        return self.verbs.get(self.handler_name)

    @classmethod
    def declared(cls, name: str) -> Operation | None:
        """What the handler of that name takes and answers."""
        return declaration_of(cls, name)

    @classmethod
    def takes_key(cls, operation: Operation) -> bool:
        """Whether the answer to a POST is kept for those who send it again under its Idempotency-Key: in the transaction of
        its effect, and with all that it says."""
        return not (cls.public or cls.commits_itself or operation.secret)

    def check_input(self, request: Request) -> None:
        """Raises: Invalid for query parameters that mean nothing here or are given twice, and for a body or an
        Idempotency-Key nobody reads."""
        declared = _declared(type(self), self.handler_name)  # type: ignore[arg-type]
        if (
            request.method == "POST"
            and idempotency.META_NAME in request.META
            and not self.takes_key(declared)
        ):
            raise Invalid(
                "What this answers is not kept, so it takes no Idempotency-Key.", code="no_idempotency_key"
            )
        parameters, faults = declared.parameters, []
        if parameters is not None:
            for given, values in request.query_params.lists():
                if given not in parameters:
                    there_are = ", ".join(sorted(parameters)) or "none"
                    detail = f"There is no such parameter. There are: {there_are}."
                    faults.append(Fault(given, "unknown_parameter", detail))
                elif len(values) > 1 and given not in SHAPE_PARAMETERS:
                    faults.append(Fault(given, "repeated", "Give this parameter once."))
        if declared.request is None and int(request.META.get("CONTENT_LENGTH") or 0) > EMPTY_BODY_BYTES:
            faults.append(Fault("", "unexpected_body", "Nothing is read from a body here."))
        if faults:
            raise Invalid(faults=faults)

    # --- before any work --------------------------------------------------------------------------------------------

    def _check_size(self, request: Request) -> None:
        given = request.META.get("CONTENT_LENGTH") or "0"
        if given == "0" and _has_more(request.META):
            # The framework takes such a body for none at all.
            raise problems.LengthRequired()
        # Python reads digits of every script, HTTP only these.
        if not (given.isascii() and given.isdigit()):
            raise Invalid("Content-Length takes a whole number.", code="bad_content_length")
        # Nor does Python read thousands of digits.
        if len(given) > 18 or int(given) > self.max_body_bytes:
            raise TooLarge(
                f"A body may have {self.max_body_bytes} bytes.",
                code="body_too_large",
                limit=self.max_body_bytes,
            )

    def _negotiate(self, request: Request) -> None:
        renderers = self.get_renderers()
        request.accepted_renderer, request.accepted_media_type = (
            self.get_content_negotiator().select_renderer(request, renderers)
        )
        asked = request.META.get("HTTP_ACCEPT_VERSION")
        version = CURRENT_VERSION if asked is None else find_version(asked)
        if version is None:
            raise problems.NotAcceptable(
                "No such API version is served.", code="unknown_version", versions=served_versions()
            )
        request.version, request.versioning_scheme = version, None
