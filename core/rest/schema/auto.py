"""The schema class of every view: from an operation's declaration to its entry in the document."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import FunctionType
from typing import Any

from drf_spectacular.drainage import warn
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ComponentRegistry
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode
from rest_framework.serializers import Serializer

from core.entities import entities
from core.rest.declarations import ActionShape, Content, EntityShape, Operation, Shape, first_sentence
from core.rest.schema.components import ETAG, LOCATION, Components, body
from core.rest.schema.entities import action_shape, list_parameters, shape, shape_parameters
from core.rest.schema.fields import UUID, Schema
from core.rest.schema.serializers import serializer_schema
from core.rest.views import ApiView
from core.rest.viewsets import EntityViewSet

BASE = "/api/v1/"
_PARAMETER = re.compile(r"\{(\w+)\}")
_WRITES = ("post", "put", "patch", "delete")
_STANDARD_NAMES = {
    "list": "list",
    "retrieve": "get",
    "create": "create",
    "update": "replace",
    "partial_update": "change",
    "destroy": "delete",
}


def only_api(endpoints: Iterable[tuple[Any, ...]], **kwargs: Any) -> list[tuple[Any, ...]]:
    """Preprocessing hook: what is served below `/api/v1/`. Of two forms of a path, the one with the closing slash."""
    return [endpoint for endpoint in endpoints if endpoint[0].startswith(BASE) and endpoint[0].endswith("/")]


def with_tags(result: Schema, **kwargs: Any) -> Schema:
    """Postprocessing hook: every tag that an operation has is declared, with what stands behind it."""
    about = {
        entity.path.partition("/")[0]: entity.description for entity in entities if "/" not in entity.path
    }
    used = sorted(
        {tag for item in result["paths"].values() for operation in item.values() for tag in operation["tags"]}
    )
    tags = [{"name": tag, "description": about.get(tag) or _AREAS.get(tag, "")} for tag in used]
    return {**result, "tags": [{key: value for key, value in tag.items() if value} for tag in tags]}


# What stands below the first word of a path that no entity has for itself.
_AREAS = {
    "audit": "The change log, its policies and its seals.",
    "changes": "What happened to records, for programs that keep a copy.",
    "company": "The company: its settings.",
    "me": "What the caller has chosen for themselves.",
    "workflow-runs": "What workflows did, step by step.",
    "auth": "Signing in and out, passwords, invitations, companies.",
    "data-import": "Imports of files, step by step, and their templates.",
    "files": "Stored files and their links.",
    "jobs": "Long work: its state, progress and outcome.",
    "metadata": "What kinds of records and fields there are for the caller.",
    "monitoring": "Whether the system is well.",
    "notifications": "What the caller has been told, and how they want to be told.",
    "recycle-bin": "Deleted records, which can be restored.",
}


class EntityAutoSchema(AutoSchema):
    """Documents entities from the registry and everything else from its declaration."""

    def get_operation(
        self, path: str, path_regex: str, path_prefix: str, method: str, registry: ComponentRegistry
    ) -> Schema | None:
        view, verb = self.view, method.lower()
        if not isinstance(view, ApiView):
            warn(f"{path}: only an ApiView can be documented")
            return None
        operation = view.declared(getattr(view, "action", None) or verb)
        if operation is None:
            warn(f"{method} {path}: its handler declares nothing (core.rest.schema)")
            operation = Operation()
        return _Entry(view, path, path_regex, verb, operation, Components(registry)).document()


class _Entry:
    def __init__(
        self,
        view: ApiView,
        path: str,
        path_regex: str,
        verb: str,
        operation: Operation,
        components: Components,
    ) -> None:
        self.view = view
        self.path = path
        self.path_regex = path_regex
        self.verb = verb
        self.operation = operation
        self.components = components
        self.action: str = getattr(view, "action", "") or ""

    @property
    def _takes_key(self) -> bool:
        return self.verb == "post" and self.view.takes_key(self.operation)

    def document(self) -> Schema:
        entry: Schema = {
            "operationId": self._id(),
            "tags": [self._segments()[0]],
            "summary": self.operation.summary or self._first_sentence(),
        }
        right = right_of(self.view)
        if right:
            action = getattr(self.view, "declared_actions", {}).get(self.action)
            alternative = f" or `{action.word}`" if action is not None else ""
            entry["description"] = f"Needs the right `{right}`{alternative}."
            entry["x-right"] = right
        parameters = [*self._path_parameters(), *self._query_parameters(), *self._header_parameters()]
        if parameters:
            entry["parameters"] = parameters
        if self.operation.request is not None:
            entry["requestBody"] = {
                **self._content(self.operation.request, "validation"),
                "required": not self.operation.optional_body,
            }
        entry["security"] = [] if self.view.public else self.components.security()
        entry["responses"] = {str(status): answer for status, answer in sorted(self._responses().items())}
        return entry

    # --- names ------------------------------------------------------------------------------------------------------

    def _segments(self) -> list[str]:
        parts = self.path.removeprefix(BASE).strip("/").split("/")
        return [part for part in parts if not part.startswith("{")]

    def _id(self) -> str:
        ending = _STANDARD_NAMES.get(
            self.action, "get_one" if self._ends_in_id() and self.verb == "get" else self.verb
        )
        if self.verb == "get" and self._ends_in_id() and self.action == "retrieve":
            ending = "get"
        return "_".join([*(re.sub(r"\W", "_", part) for part in self._segments()), ending])

    def _ends_in_id(self) -> bool:
        return self.path.rstrip("/").endswith("}")

    def _first_sentence(self) -> str:
        handler = getattr(self.view, self.action or self.verb)
        sentence = first_sentence(handler.__doc__ or type(self.view).__doc__ or "")
        if not sentence:
            warn(f"{self.verb} {self.path}: no summary, neither declared nor in a docstring")
        return sentence

    # --- parameters ---------------------------------------------------------------------------------------------------

    def _path_parameters(self) -> list[Schema]:
        return [
            {"name": name, "in": "path", "required": True, "schema": self._path_schema(name)}
            for name in _PARAMETER.findall(self.path)
        ]

    def _path_schema(self, name: str) -> Mapping[str, Any]:
        if name in self.operation.path:
            return self.operation.path[name]
        if f"<uuid:{name}>" in self.path_regex or name == "id" or name.endswith(("_id", "pk")):
            return UUID
        if f"<int:{name}>" in self.path_regex:
            return {"type": "integer", "minimum": 0}
        return {"type": "string", "minLength": 1}

    def _query_parameters(self) -> list[Schema]:
        declared = self.operation
        found: list[Schema] = []
        for name, declaration in declared.query.items():
            schema = declaration() if callable(declaration) else declaration
            kept = {key: value for key, value in schema.items() if key != "description"}
            parameter: Schema = {"name": name, "in": "query", "schema": self.components.inline(kept)}
            if "description" in schema:
                parameter["description"] = schema["description"]
            if name in declared.required_query:
                parameter["required"] = True
            found.append(parameter)
        if declared.paged:
            found += [self.components.parameter(name) for name in ("Page", "PageSize", "Cursor", "Count")]
        if declared.lists:
            found += list_parameters(self.components, entities[declared.lists])
        elif declared.shaped and isinstance(self.view, EntityViewSet):
            found += shape_parameters(self.components, self.view.entity)
        return found

    def _header_parameters(self) -> list[Schema]:
        names = []
        if self.operation.versioned:
            names.append("IfNoneMatch" if self.verb == "get" else "IfMatch")
        if self._takes_key:
            names.append("IdempotencyKey")
        if not self.view.public:
            names.append("XCompany")
        return [self.components.parameter(name) for name in (*names, "AcceptVersion", "XCorrelationId")]

    # --- bodies ---------------------------------------------------------------------------------------------------------

    def _content(self, declaration: Shape, mode: JsonSchemaMode) -> Schema:
        if isinstance(declaration, Content):
            return body(self.components.inline(dict(declaration.schema)), declaration.media_type)
        return body(self._schema(declaration, mode))

    def _schema(self, declaration: Shape, mode: JsonSchemaMode) -> Schema:
        if isinstance(declaration, EntityShape):
            return shape(self.components, declaration)
        if isinstance(declaration, ActionShape):
            return action_shape(self.components, declaration)
        if isinstance(declaration, type) and issubclass(declaration, BaseModel):
            return self.components.model(declaration, mode)
        if isinstance(declaration, Mapping):
            return self.components.inline(dict(declaration))
        if isinstance(declaration, type) and issubclass(declaration, Serializer):
            add = self.components.add
            return add(declaration.__name__, serializer_schema(declaration(), mode, add))
        if isinstance(declaration, FunctionType):
            return self.components.inline(dict(declaration()))
        raise TypeError(f"{self.verb} {self.path}: {declaration!r} is no shape")

    def _responses(self) -> dict[int, Schema]:
        declared = self.operation
        answers = {
            status: self._answer(status, declaration)
            for status, declaration in {declared.status: declared.response, **declared.also}.items()
        }
        return {status: self.components.problem(status) for status in self._problems()} | answers

    def _answer(self, status: int, declaration: Shape) -> Schema:
        answer: Schema = {"description": _DESCRIPTIONS.get(status, "Done.")}
        if declaration is not None:
            answer |= self._content(declaration, "serialization")
        headers: Schema = {}
        if isinstance(declaration, EntityShape) and not declaration.suffix:
            headers |= ETAG
            if status == 201:
                headers |= LOCATION
        if headers:
            answer["headers"] = headers
        return answer

    def _problems(self) -> set[int]:
        declared = self.operation
        found = {400, 406, 429, 503, *declared.errors}
        if not self.view.public:
            found |= {401, 403}
        if "{" in self.path or declared.lists or declared.paged:
            found.add(404)
        if self.verb in _WRITES:
            found.add(409)
        if declared.request is not None:
            found |= {411, 413, 415}
        if self._takes_key:
            found.add(422)
        if declared.versioned and self.verb != "get":
            found.add(412)
        return found


_DESCRIPTIONS = {
    200: "As asked.",
    201: "Created.",
    202: "Accepted; the work goes on.",
    204: "Done; nothing to show.",
    304: "Unchanged.",
}


def right_of(view: ApiView) -> str:
    """The right an operation needs, as permission words say it; empty for public ones."""
    if view.public:
        return ""
    verb = view.required_verb() or ""
    if not isinstance(view, EntityViewSet):
        return verb
    guard = view.entity.read_guarded_by if verb == "read" else view.entity.guarded_by
    if guard:
        return guard
    return f"{verb}:{view.entity.name}" if verb else ""
