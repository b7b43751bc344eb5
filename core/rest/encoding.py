"""The one place where a document becomes the bytes of an answer, and where API versions change documents.

Views read and answer the newest shape of each document. For a request in an older version, transforms in `UP` turn its
document into what the view reads, and transforms in `DOWN` turn the view's answer (its document, status and headers) into what
that version promised. Both see every document: records, pages, bulk results, metadata, accounts, health, problems. A file
(an upload, a CSV report, the OpenAPI document) is no document and passes unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from rest_framework.renderers import BaseRenderer
from rest_framework.response import Response

from core.kernel.registry import Registry

JSON = "application/json"
PROBLEM_JSON = "application/problem+json"
# The version that views read and answer.
CURRENT_VERSION = "v1"


@dataclass(frozen=True, slots=True)
class Exchange:
    """The request that a document came with, or answers."""

    # The API version the client speaks.
    version: str
    method: str
    path: str
    # The entity whose endpoint this is; empty elsewhere.
    entity: str = ""
    # The handler, such as "list", "create" or "get"; empty where no view answers.
    operation: str = ""


# Versions a client may ask for by `Accept-Version`, by name, with a word on each.
VERSIONS: Registry[str] = Registry("API version")
VERSIONS.register(CURRENT_VERSION, "The first version.")
# Called in the order of registration with each request document; answers the document that the next one gets.
UP: Registry[Callable[[Exchange, Any], Any]] = Registry("request transform")
# Called in the order of registration with each answer before it is encoded; changes it in place (`answer.data` is the document).
DOWN: Registry[Callable[[Exchange, Response], None]] = Registry("answer transform")


def find_version(asked: str) -> str | None:
    """The version that `Accept-Version: v1` or `1` names; none when it is not served."""
    return next((name for name in (asked, f"v{asked}") if name in VERSIONS), None)


def served_versions() -> list[str]:
    return sorted(VERSIONS.names())


def upgraded(exchange: Exchange, document: Any) -> Any:
    """A request's document in the shape that views read."""
    for transform in UP:
        document = transform(exchange, document)
    return document


def encoded(exchange: Exchange, answer: Response) -> Response:
    """The answer in the client's version, with its bytes made. Whatever transforms raise leaves it unsent."""
    for transform in DOWN:
        transform(exchange, answer)
    if answer.content_type == PROBLEM_JSON:
        # Whatever the view answers otherwise.
        answer.accepted_renderer = _JSON_RENDERER
    answer.render()
    # It binds the answer to itself, and would keep it until the garbage collector comes.
    answer.renderer_context.clear()  # type: ignore[attr-defined]
    return answer


class JsonRenderer(BaseRenderer):
    """Documents as JSON. Times in UTC end with Z; decimals and ids are texts."""

    media_type = JSON
    format = "json"
    charset = None

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        if data is None:
            return b""
        try:
            return orjson.dumps(data, default=str, option=orjson.OPT_UTC_Z)
        except orjson.JSONEncodeError:
            # Integers of more than 64 bits, and lone surrogates that the request's own text brought into a problem.
            text = json.dumps(data, ensure_ascii=False, default=str)
            return text.encode("utf-8", "backslashreplace")


_JSON_RENDERER = JsonRenderer()
