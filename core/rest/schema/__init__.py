"""The OpenAPI document: drawn from the registry for entities, declared beside the handler for everything else.

Nothing is to be done for an `EntityViewSet`: its lists, records, writes, bulk, upsert and restore are documented from the
entity's facts. Any other handler, a method of an `ApiView` or an `@action` of a viewset, says what it takes and answers::

    from core.rest.schema import documented, record

    class LoginView(ApiView):
        @documented(request=Credentials, response=Tokens, errors=(429,))
        def post(self, request): ...

    @documented(request=Conversion, response=ConversionResult, errors=(423,))
    @action(detail=True, methods=["post"])
    def convert(self, request, pk): ...

    @documented(response=record("lead"), shaped=True)          # the lead itself, with ?fields= and ?expand=
    @documented(response=page("deal"), lists="deal")           # a list with all its filters
    @documented(response=Content("text/csv"), query={"days": {"type": "integer", "minimum": 1}})

A shape is a pydantic model (`extra="forbid"` where unknown keys are refused), a plain serializer class, a JSON Schema as
a dict or a function that answers one once everything is registered, `record(entity)`, `page(entity)`, `created(entity)`
for an entity's input, `Content` for what is not JSON, or None for no body. A view whose handlers are inherited declares
them as `schemas = {"post": Operation(…)}`, by method or by viewset action. The summary is the first sentence of the
handler's docstring, or of the view's. Answers 400, 406, 429 and 503 are documented for all, 401 and 403 unless the view
is public, 404 where the path names something, 409 for writes, 411, 413 and 415 with a body, 422 for POST; `errors` adds
others. A handler that declares nothing is a warning, and a warning fails the check.
"""

from core.rest.declarations import Content, Operation, created, documented, page, record
from core.rest.schema.auto import EntityAutoSchema, only_api, with_tags

__all__ = [
    "Content",
    "EntityAutoSchema",
    "Operation",
    "created",
    "documented",
    "only_api",
    "page",
    "record",
    "with_tags",
]
