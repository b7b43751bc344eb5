"""URLs of viewsets: lists, records, bulk, upsert and restore for each, and the actions a viewset adds."""

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

from core.entities import entities
from core.rest.viewsets import EntityViewSet

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
        known = self._plain.get(path)
        if known is not None:
            return known
        word = path.removeprefix(self._prefix).partition("/")[0]
        among = self._by_word.get(word)
        # Where there is none, Django says what there is.
        found = super().resolve(path) if among is None else among.resolve(path)
        if not found.kwargs and not found.args:
            self._plain[path] = found
        return found


class EntityRouter(SimpleRouter):
    """DRF's router plus the routes of every entity that has the operations for them."""

    def add(self, viewset: type[EntityViewSet], prefix: str = "") -> None:
        """Serve the viewset under its entity's plural, or under `prefix`."""
        entity = entities[viewset.entity_name]
        self.register(prefix or entity.path, viewset, basename=prefix.replace("/", "-") or entity.plural)

    def get_urls(self) -> list[URLPattern | URLResolver]:
        urls: list[URLPattern | URLResolver] = []
        for prefix, viewset, basename in self.registry:
            urls += self._extra(prefix, viewset, basename)
        return [*urls, *super().get_urls()]

    def _extra(self, prefix: str, viewset: type[Any], basename: str) -> list[URLPattern]:
        writes = entities[viewset.entity_name].writes
        soft = entities[viewset.entity_name].is_soft_deleted
        made = []

        def route(tail: str, method: str, action: str) -> None:
            served = viewset.as_view({method: action}, basename=basename, detail=action == "restore")
            made.append(path(f"{prefix}/{tail}", served, name=f"{basename}-{action.replace('_', '-')}"))

        if writes.create and writes.update and writes.delete:
            route("bulk/", "post", "bulk")
        if writes.create and writes.update and "external_id" in entities[viewset.entity_name].fields:
            route("by-external-id/<str:source>/<str:external_id>/", "put", "by_external_id")
        if soft and writes.restore:
            route("<str:pk>/restore/", "post", "restore")
        return made

    def get_method_map(self, viewset: Any, method_map: Mapping[str, str]) -> dict[str, str]:
        writes = entities[viewset.entity_name].writes
        served = {
            "create": writes.create,
            "update": writes.update,
            "partial_update": writes.update,
            "destroy": writes.delete,
        }
        return {
            method: action
            for method, action in super().get_method_map(viewset, method_map).items()
            if served.get(action, True)
        }
