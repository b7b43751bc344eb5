"""How a handler that is not drawn from the registry declares what it takes and answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel
from rest_framework.serializers import Serializer

JSON = "application/json"
_ATTRIBUTE = "operation"

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Content:
    """A body that is not JSON: its media type, and its JSON Schema where it is a form."""

    media_type: str
    schema: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EntityShape:
    """A component of an entity; `suffix` is empty for the record itself. The path says the field `below` already."""

    entity: str
    suffix: str = ""
    below: str = ""


Shape = (
    type[BaseModel]
    | type[Serializer[Any]]
    | Mapping[str, Any]
    | Callable[[], Mapping[str, Any]]
    | EntityShape
    | Content
    | None
)


def record(entity: str) -> EntityShape:
    """A record as the API answers it."""
    return EntityShape(entity)


def page(entity: str) -> EntityShape:
    """One page of a list."""
    return EntityShape(entity, "Page")


def created(entity: str, *, below: str = "") -> EntityShape:
    """What a client sends to create a record; below a parent that the path names, without the field for it."""
    return EntityShape(entity, "Input", below)


@dataclass(frozen=True)
class Operation:
    """What one handler takes and answers."""

    request: Shape = None
    response: Shape = None
    status: int = 200
    summary: str = ""
    # Other successes: status -> shape.
    also: Mapping[int, Shape] = field(default_factory=dict)
    # Statuses of problems beyond the usual ones.
    errors: tuple[int, ...] = ()
    # Query parameters: name -> JSON Schema, or a function that answers it once all is registered.
    query: Mapping[str, Mapping[str, Any] | Callable[[], Mapping[str, Any]]] = field(default_factory=dict)
    required_query: tuple[str, ...] = ()
    # Path parameters that are no ids: name -> JSON Schema.
    path: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    # The entity whose list parameters (filters, ordering, paging, shape) are taken.
    lists: str = ""
    # `fields` and `expand` are taken.
    shaped: bool = False
    # The body may be left out.
    optional_body: bool = False
    # `If-Match` is taken, and an `ETag` answered.
    versioned: bool = False


def documented(**declared: Any) -> Callable[[F], F]:
    """Declare the handler: the arguments are those of `Operation`."""

    def declare(handler: F) -> F:
        setattr(handler, _ATTRIBUTE, Operation(**declared))
        return handler

    return declare


def operation_of(view: Any, method: str) -> Operation | None:
    """What the handler of `method` (lower case) declares, or its view for it."""
    name = getattr(view, "action", None) or method
    declared: Operation | None = getattr(getattr(view, name, None), _ATTRIBUTE, None)
    return declared or getattr(view, "schemas", {}).get(name)
