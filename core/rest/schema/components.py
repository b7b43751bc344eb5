"""The reusable parts of the document, each registered when something first refers to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from drf_spectacular.drainage import warn
from drf_spectacular.plumbing import ComponentRegistry, ResolvedComponent
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode

from core.rest.bulk import OPERATIONS
from core.rest.declarations import JSON
from core.rest.encoding import PROBLEM_JSON, VERSIONS
from core.rest.idempotency import MAX_KEY_LENGTH
from core.rest.listing import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, MAX_SEARCH_LENGTH
from core.rest.schema.fields import DIGITS, UUID, VERSION, Schema, shared_filters

_FAULT: Schema = {
    "type": "object",
    "required": ["path", "code", "detail"],
    "properties": {
        "path": {"type": "string", "description": "Where in the input, dotted; empty for the whole."},
        "code": {"type": "string"},
        "detail": {"type": "string"},
    },
    "additionalProperties": False,
}
_PROBLEM: Schema = {
    "type": "object",
    "description": "RFC 9457 problem details. A problem may carry further members.",
    "required": ["type", "title", "status", "detail", "code", "correlation_id", "errors"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "code": {"type": "string", "description": "Stable; see the reference of error codes."},
        "correlation_id": {"type": "string"},
        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Fault"}},
    },
    "examples": [
        {
            "type": "urn:atrium:problem:invalid",
            "title": "The input is not valid",
            "status": 400,
            "detail": "The input is not valid",
            "code": "invalid",
            "correlation_id": "01977c3e5f5a7c3a9d6e0d5c5b1f2a11",
            "errors": [{"path": "email", "code": "not_an_email", "detail": "An e-mail address is expected."}],
        }
    ],
}
_BULK_RESULT: Schema = {
    "type": "object",
    "required": ["atomic", "succeeded", "failed", "results"],
    "properties": {
        "atomic": {"type": "boolean"},
        "succeeded": {"type": "integer", "minimum": 0},
        "failed": {"type": "integer", "minimum": 0},
        "results": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "op", "status"],
                "properties": {
                    "index": {"type": "integer", "minimum": 0},
                    "op": {
                        "type": ["string", "null"],
                        "description": f"As it was sent: {', '.join(OPERATIONS)}, or what there is not.",
                    },
                    "status": {"type": "integer", "description": "As if this operation came alone."},
                    "id": UUID,
                    "version": VERSION,
                    "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Fault"}},
                },
                "additionalProperties": False,
            },
        },
    },
    "additionalProperties": False,
    "examples": [
        {
            "atomic": False,
            "succeeded": 1,
            "failed": 1,
            "results": [
                {
                    "index": 0,
                    "op": "create",
                    "status": 201,
                    "id": "01977c3e-5f5a-7c3a-9d6e-0d5c5b1f2a11",
                    "version": 1,
                },
                {
                    "index": 1,
                    "op": "update",
                    "status": 404,
                    "errors": [{"path": "id", "code": "not_found", "detail": "There is no such thing here."}],
                    "id": "01977c3e-5f5a-7c3a-9d6e-0d5c5b1f2a12",
                },
            ],
        }
    ],
}
_BULK_DELETE: Schema = {
    "type": "object",
    "required": ["op", "id"],
    "properties": {"op": {"const": "delete"}, "id": UUID, "version": VERSION},
    "additionalProperties": False,
}
SCHEMAS: dict[str, Schema] = {
    "Fault": _FAULT,
    "Problem": _PROBLEM,
    "Money": {"type": "string", "pattern": DIGITS, "description": "An amount in digits, never rounded."},
    "BulkResult": _BULK_RESULT,
    "BulkDelete": _BULK_DELETE,
    **shared_filters(),
}

_PROBLEM_TEXTS = {
    400: "The input is not valid; `errors` says where.",
    401: "Nobody is signed in, or the token or key is not valid.",
    403: "The caller's role does not allow this, or the caller is no member of the company.",
    404: "There is no such thing for this caller.",
    406: "The version or media type asked for is not served.",
    409: "It conflicts with what is stored, or the record is busy.",
    410: "It is no longer here.",
    411: "The body comes without a `Content-Length`.",
    412: "The record has changed since it was read.",
    413: "The input is larger than the limit that the answer names.",
    415: "The body's media type is not read here.",
    422: "Well-formed, but it cannot be carried out; also an Idempotency-Key used for another request.",
    423: "The record is locked.",
    429: "Too many requests; `Retry-After` says when to come back.",
    503: "The service cannot answer now; `Retry-After` says when to come back.",
}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 0}}}
_WWW_AUTHENTICATE = {"WWW-Authenticate": {"schema": {"type": "string"}}}
_PROBLEM_HEADERS: dict[int, Schema] = {401: _WWW_AUTHENTICATE, 429: _RETRY_AFTER, 503: _RETRY_AFTER}

ETAG: Schema = {"ETag": {"description": "The version, quoted.", "schema": {"type": "string"}}}
LOCATION: Schema = {"Location": {"description": "Where the record is.", "schema": {"type": "string"}}}

_PRINTABLE = "[!-~\u00a1-\u00ac\u00ae-\u00ff]"
PARAMETERS: dict[str, Schema] = {
    "Search": {
        "name": "search",
        "in": "query",
        "description": "Every word must occur; the last may be a beginning. Best first.",
        "schema": {"type": "string", "maxLength": MAX_SEARCH_LENGTH},
    },
    "Page": {
        "name": "page",
        "in": "query",
        "description": "Page from 1.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
    },
    "PageSize": {
        "name": "page_size",
        "in": "query",
        "description": "Records of a page.",
        "schema": {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": DEFAULT_PAGE_SIZE},
    },
    "Cursor": {
        "name": "cursor",
        "in": "query",
        "description": "Walk in constant time: empty to begin, then follow `next`. Not with `page` or `search`.",
        "schema": {"type": "string"},
    },
    "Count": {
        "name": "count",
        "in": "query",
        "description": "Count exactly, whatever it takes.",
        "schema": {"type": "string", "enum": ["exact"]},
    },
    "XCompany": {
        "name": "X-Company",
        "in": "header",
        "description": "Slug of the company to work in, for members of several.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
    },
    "AcceptVersion": {
        "name": "Accept-Version",
        "in": "header",
        "description": "The version of the API to answer in.",
        "schema": {
            "type": "string",
            "enum": sorted({*VERSIONS.names(), *(name.removeprefix("v") for name in VERSIONS.names())}),
        },
    },
    "XCorrelationId": {
        "name": "X-Correlation-ID",
        "in": "header",
        "description": "Names the request in logs and in the change log; taken over if well-formed.",
        "schema": {"type": "string"},
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "A request repeated with its key within 24 hours gets the first answer again.",
        "schema": {
            "type": "string",
            "pattern": f"^{_PRINTABLE}({_PRINTABLE[:-1]} ]{{0,{MAX_KEY_LENGTH - 2}}}{_PRINTABLE})?$",
        },
    },
    "IfMatch": {
        "name": "If-Match",
        "in": "header",
        "description": "The ETag that was read; 412 when the record has moved on.",
        "schema": {"type": "string", "pattern": r'^(\*|(W/)?"[0-9]{1,10}")$'},
        "example": "*",
    },
    "IfNoneMatch": {
        "name": "If-None-Match",
        "in": "header",
        "description": "The ETag that is known; 304 while it is current.",
        "schema": {"type": "string"},
    },
}
SECURITY: dict[str, Schema] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token from `/api/v1/auth/login/`.",
    },
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`Api-Key <prefix>.<secret>`",
    },
}


class Components:
    """Registers components and answers references to them. A name with two meanings is a warning."""

    def __init__(self, registry: ComponentRegistry) -> None:
        self._registry = registry

    def schema(self, name: str) -> Schema:
        """A reference to one of `SCHEMAS`."""
        return self.add(name, SCHEMAS[name])

    def add(self, name: str, schema: Schema) -> Schema:
        """A reference to a schema, with all that it refers to."""
        schema = _without_defaults(self._without_definitions(schema))
        if self._register(ResolvedComponent.SCHEMA, name, schema):
            for used in _references(schema):
                if used in SCHEMAS:
                    self.schema(used)
        return {"$ref": f"#/components/schemas/{name}"}

    def _without_definitions(self, schema: Schema) -> Schema:
        """The schema of an object; what its properties define for themselves becomes components."""
        properties = {}
        for name, part in schema.get("properties", {}).items():
            if "$defs" in part:
                part = dict(part)
                for defined, definition in part.pop("$defs").items():
                    self.add(defined, definition)
            properties[name] = part
        return {**schema, "properties": properties} if properties else schema

    def knows(self, name: str) -> bool:
        return (name, ResolvedComponent.SCHEMA) in self._registry._components

    def inline(self, schema: Schema) -> Schema:
        """The schema itself, with all that it refers to registered."""
        for used in _references(schema):
            if used in SCHEMAS:
                self.schema(used)
        return schema

    def model(self, model: type[BaseModel], mode: JsonSchemaMode) -> Schema:
        """A reference to a pydantic model."""
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}", mode=mode)
        for name, part in schema.pop("$defs", {}).items():
            self.add(name, part)
        return self.add(model.__name__, schema)

    def parameter(self, name: str, parameter: Schema | None = None) -> Schema:
        """A reference to a parameter; without one given, to one of `PARAMETERS`."""
        self._register(ResolvedComponent.PARAMETER, name, parameter or PARAMETERS[name])
        return {"$ref": f"#/components/parameters/{name}"}

    def problem(self, status: int) -> Schema:
        """The answer of a refused request."""
        name = f"Problem{status}"
        response: Schema = {
            "description": _PROBLEM_TEXTS.get(status, HTTPStatus(status).phrase),
            "content": {PROBLEM_JSON: {"schema": self.schema("Problem")}},
        }
        if status in _PROBLEM_HEADERS:
            response["headers"] = _PROBLEM_HEADERS[status]
        self._register(ResolvedComponent.RESPONSE, name, response)
        return {"$ref": f"#/components/responses/{name}"}

    def security(self) -> list[Schema]:
        for name, scheme in SECURITY.items():
            self._register(ResolvedComponent.SECURITY_SCHEMA, name, scheme)
        return [{name: []} for name in SECURITY]

    def _register(self, kind: str, name: str, content: Schema) -> bool:
        """Whether it is new."""
        known = self._registry._components.get((name, kind))
        if known is not None:
            if known.schema != content:
                warn(f"the {kind} component {name!r} is declared with two meanings")
            return False
        self._registry.register(ResolvedComponent(name, kind, schema=content, object=name))
        return True


def _without_defaults(schema: Any) -> Any:
    """Generated clients send the default of a field with every change, or demand fields that have one."""
    if isinstance(schema, list):
        return [_without_defaults(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: {key: _without_defaults(value) for key, value in part.items()}
        if name == "properties"
        else part
        if name in ("examples", "example", "enum", "const")
        else _without_defaults(part)
        for name, part in schema.items()
        if name != "default"
    }


def _references(schema: Any) -> Iterable[str]:
    if isinstance(schema, Mapping):
        reference = schema.get("$ref")
        if isinstance(reference, str):
            yield reference.rpartition("/")[2]
        for part in schema.values():
            yield from _references(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _references(part)


def body(schema: Schema, media_type: str = JSON) -> Schema:
    """`content` of a request or an answer."""
    return {"content": {media_type: {"schema": schema}}}
