"""The document itself, and a page to browse it that loads nothing from elsewhere."""

from __future__ import annotations

from functools import lru_cache

from django.http import HttpResponse
from django.template.loader import render_to_string
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiJsonRenderer2, OpenApiYamlRenderer
from rest_framework.request import Request

from core.rest.views import ApiView

_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class _YamlRenderer(OpenApiYamlRenderer):
    media_type = "application/yaml"


@lru_cache(maxsize=1)
def openapi_document() -> dict[str, object]:
    """The document of this installation. It depends on the code alone, so it is made once per process."""
    document: dict[str, object] = SchemaGenerator().get_schema(request=None, public=True)
    return document


@lru_cache(maxsize=2)
def _rendered(as_yaml: bool) -> bytes:
    renderer = OpenApiYamlRenderer() if as_yaml else OpenApiJsonRenderer()
    text: bytes = renderer.render(openapi_document(), renderer_context={})
    return text


class SchemaView(ApiView):
    """`GET /schema/`: this API as OpenAPI 3.1, JSON unless `Accept` asks for YAML."""

    public = True
    authentication_classes = ()
    renderer_classes = (OpenApiJsonRenderer, OpenApiJsonRenderer2, OpenApiYamlRenderer, _YamlRenderer)
    schema = None

    def get(self, request: Request) -> HttpResponse:
        media_type = str(request.accepted_renderer.media_type)
        answer = HttpResponse(_rendered(not media_type.endswith("json")), content_type=media_type)
        answer["Cache-Control"] = "public, max-age=300"
        answer["Vary"] = "Accept"
        return answer


class DocsView(ApiView):
    """`GET /docs/`: the document to read and to try."""

    public = True
    authentication_classes = ()
    schema = None

    def get(self, request: Request) -> HttpResponse:
        answer = HttpResponse(render_to_string("core/api_docs.html", request=request._request))
        answer["Content-Security-Policy"] = _CONTENT_SECURITY_POLICY
        return answer
