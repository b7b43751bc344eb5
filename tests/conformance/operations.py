"""Every operation the API serves, read off the URL resolver: the only list that cannot forget one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.contrib.admindocs.views import simplify_regex
from django.urls import URLPattern, URLResolver, get_resolver

from core.entities import Entity, entities
from core.rest.schema.views import openapi_document
from core.rest.views import ApiView
from core.rest.viewsets import EntityViewSet

API = "/api/v1/"
METHODS = ("get", "post", "put", "patch", "delete")
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    method: str
    # With its parameters in braces.
    path: str
    view: type[ApiView]
    # The viewset's action, or the method in lower case.
    action: str

    @property
    def name(self) -> str:
        return f"{self.method} {self.path.removeprefix(API.rstrip('/'))}"

    @property
    def parameters(self) -> tuple[str, ...]:
        return tuple(re.findall(r"{(\w+)}", self.path))

    @property
    def entity(self) -> Entity | None:
        return entities[self.view.entity_name] if issubclass(self.view, EntityViewSet) else None

    @property
    def is_public(self) -> bool:
        return self.view.public

    @property
    def writes(self) -> bool:
        return self.method != "GET"

    @property
    def documented(self) -> dict[str, Any] | None:
        """Its entry in the OpenAPI document."""
        return _documented().get((self.method.lower(), _bare(self.path)))

    @property
    def takes_body(self) -> bool:
        return "requestBody" in (self.documented or {})


def _bare(path: str) -> str:
    return re.sub(r"{\w+}", "{}", path)


@lru_cache(maxsize=1)
def _documented() -> dict[tuple[str, str], dict[str, Any]]:
    document: Any = openapi_document()
    return {
        (method, _bare(path)): item[method]
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item
    }


def served(patterns: list[Any] | None = None, prefix: str = "/") -> Iterator[tuple[str, Any]]:
    """Every path with what answers it, of the API, the back office and anything else."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        raw = str(pattern.pattern)
        path = prefix + simplify_regex(raw).lstrip("/") if raw.startswith("^") else prefix + raw
        if isinstance(pattern, URLResolver):
            yield from served(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern):
            yield _PARAMETER.sub(r"{\1}", path), pattern.callback


@lru_cache(maxsize=1)
def operations() -> tuple[Operation, ...]:
    """Every operation below `/api/v1/`, in the order of paths."""
    found: dict[tuple[str, str], Operation] = {}
    for path, callback in served():
        view = getattr(callback, "cls", None)
        if not path.startswith(API) or view is None or not issubclass(view, ApiView):
            continue
        initkwargs = getattr(callback, "initkwargs", getattr(callback, "view_initkwargs", {}))
        actions = getattr(callback, "actions", None) or {
            method: method
            for method in initkwargs.get("http_method_names", view.http_method_names)
            if method in METHODS and hasattr(view, method)
        }
        for method, action in actions.items():
            if method in METHODS:
                # The first pattern that matches answers.
                found.setdefault((path, method), Operation(method.upper(), path, view, action))
    return tuple(found[key] for key in sorted(found))


def every_operation(among: Sequence[Operation] | None = None) -> Any:
    """A parametrization over all of them, or those given, by name."""
    import pytest

    chosen = operations() if among is None else among
    return pytest.mark.parametrize("operation", chosen, ids=lambda operation: operation.name)


def lists() -> list[Operation]:
    """The lists of entities."""
    return [operation for operation in operations() if operation.entity and operation.action == "list"]
