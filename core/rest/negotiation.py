"""Which parser reads a body, and which renderer writes an answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request


class ContentNegotiation(DefaultContentNegotiation):
    """The framework's, which asks little where there is little to choose from."""

    def select_parser(self, request: Request, parsers: Iterable[Any]) -> Any:
        named = (parser for parser in parsers if parser.media_type == request.content_type)
        return next(named, None) or super().select_parser(request, parsers)

    def select_renderer(
        self, request: Request, renderers: Iterable[Any], format_suffix: str | None = None
    ) -> tuple[Any, str]:
        """The first one answers where `Accept` names none of them."""
        first, *others = renderers
        if others:
            try:
                chosen: tuple[Any, str] = super().select_renderer(request, [first, *others])
            except NotAcceptable:
                pass
            else:
                return chosen
        return first, first.media_type
