"""The API's routes: lists, records, bulk, upsert, restore, declared actions and nested lists of every entity.

An app adds routes in its `urls.py`: `urlpatterns` with paths of its own below `/api/v1/`, and `viewsets` for entities that
differ from what `core.rest.viewsets.viewset_of` makes of them. `config.urls` collects them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.urls import ResolverMatch, URLPattern, URLResolver, path
from django.urls.resolvers import RoutePattern
from rest_framework.routers import SimpleRouter

from core.entities import Entity, entities
from core.rest.viewsets import EntityViewSet, nested_viewset_of, viewset_of, with_actions

_FIRST_WORD = re.compile(r"\^?([\w-]+)(?=/)")


class RoutesByFirstWord(URLResolver):
    """Routes below `prefix`. Of the hundreds, only those that begin with the path's first word are tried.

    Raises: ImproperlyConfigured for a route that begins with a parameter.
    """

    def __init__(self, prefix: str, routes: Sequence[URLPattern | URLResolver]) -> None:
        super().__init__(RoutePattern(prefix), list(routes))
        self._prefix = prefix
        # Where paths without parameters lead: as many as there are such routes.
        self._plain: dict[str, ResolverMatch] = {}

    @cached_property
    def _by_word(self) -> Mapping[str, URLResolver]:
        found = defaultdict(list)
        for route in self.url_patterns:
            word = _FIRST_WORD.match(str(route.pattern))
            if word is None:
                raise ImproperlyConfigured(
                    f"The route {route.pattern} does not begin with a word and a slash."
                )
            found[word[1]].append(route)
        return {word: URLResolver(self.pattern, routes) for word, routes in found.items()}

    def resolve(self, path: str) -> ResolverMatch:
        match = self._plain.get(path)
        if match is not None:
            return match
        word = path.removeprefix(self._prefix).partition("/")[0]
        among = self._by_word.get(word)
        # Where there is none, Django says what there is.
        found = super().resolve(path) if among is None else among.resolve(path)
        if not found.kwargs and not found.args:
            self._plain[path] = found
        return found


class EntityRouter(SimpleRouter):
    """DRF's router plus the routes of every entity that has the operations and actions for them."""

    def add(self, viewset: type[EntityViewSet]) -> None:
        """Serve the viewset, and the actions declared for its entity, under the entity's path."""
        entity = entities[viewset.entity_name]
        self.register(entity.path, with_actions(viewset), basename=entity.plural)

    def get_urls(self) -> list[URLPattern | URLResolver]:
        urls: list[URLPattern | URLResolver] = []
        for prefix, viewset, basename in self.registry:
            urls += self._extra(prefix, viewset, basename)
        return [*urls, *super().get_urls()]

    def _extra(self, prefix: str, viewset: type[Any], basename: str) -> list[URLPattern]:
        entity = entities[viewset.entity_name]
        writes = entity.writes
        routes = []

        def route(tail: str, method: str, handler: str, name: str) -> None:
            served = viewset.as_view({method: handler}, basename=basename, detail="<str:pk>" in tail)
            routes.append(path(f"{prefix}/{tail}", served, name=f"{basename}-{name}"))

        if writes.create and writes.update and writes.delete:
            route("bulk/", "post", "bulk", "bulk")
        if writes.create and writes.update and entity.has_external_id:
            route("by-external-id/<str:source>/<str:external_id>/", "put", "by_external_id", "by-external-id")
        if entity.is_soft_deleted and writes.restore:
            route("<str:pk>/restore/", "post", "restore", "restore")
        for handler, action in viewset.declared_actions.items():
            route(f"<str:pk>/{action.path}/", "post", handler, action.path)
        return routes

    def get_method_map(self, viewset: Any, method_map: Mapping[str, str]) -> dict[str, str]:
        return _allowed(entities[viewset.entity_name], super().get_method_map(viewset, method_map))


_LIST: dict[str, Any] = {"get": "list", "post": "create"}
_RECORD: dict[str, Any] = {"get": "retrieve", "put": "update", "patch": "partial_update", "delete": "destroy"}


def _allowed(entity: Entity, handlers: Mapping[str, Any]) -> dict[str, Any]:
    """Those handlers that the entity has the operations for."""
    operations = {
        "create": entity.writes.create,
        "update": entity.writes.update,
        "partial_update": entity.writes.update,
        "destroy": entity.writes.delete,
    }
    return {method: handler for method, handler in handlers.items() if operations.get(handler, True)}


def entity_routes(
    routes: Sequence[URLPattern | URLResolver], viewsets: Sequence[type[EntityViewSet]]
) -> list[URLPattern | URLResolver]:
    """The routes of every entity: by the app's viewset, where it brings one, and by one made from the registry otherwise.

    `routes` are the apps' own; an entity whose list is among them is served there alone, unless its viewset is among
    `viewsets`.
    """
    router = EntityRouter()
    for viewset in viewsets:
        router.add(viewset)
    served = {viewset.entity_name for viewset in viewsets}
    for route in routes:
        brought: Any = getattr(route.callback, "cls", object)
        if issubclass(brought, EntityViewSet):
            served.add(brought.entity_name)
    for entity in entities:
        if entity.name not in served:
            router.add(viewset_of(entity))
    return [*_nested_routes(), *router.urls]


def _nested_routes() -> list[URLPattern]:
    found = []
    for entity in entities:
        for nested in entity.nested:
            viewset = nested_viewset_of(entity, nested)
            parent = entities[viewset.parent_name]
            prefix, name = f"{parent.path}/<str:parent_pk>/{nested.path}/", f"{parent.plural}-{nested.path}"
            found.append(path(prefix, viewset.as_view(_allowed(entity, _LIST)), name=name))
            if nested.with_records:
                served = viewset.as_view(_allowed(entity, _RECORD))
                found.append(path(f"{prefix}<str:pk>/", served, name=f"{name}-detail"))
    return found
