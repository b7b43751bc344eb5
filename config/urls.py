"""Every URL: the API's routes come from each app's `urls.py` and the registry, the back office from the admin site."""

from importlib import import_module

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views import defaults

from core.apps import modules_named
from core.rest import problems
from core.rest.routing import RoutesByFirstWord, entity_routes

# This module is one of those found, and gathers the others.
_modules = [import_module(name) for name in modules_named("urls") if name != __name__]
_routes = [route for module in _modules for route in module.urlpatterns]
_viewsets = [viewset for module in _modules for viewset in getattr(module, "viewsets", ())]

urlpatterns = [
    RoutesByFirstWord("api/v1/", [*_routes, *entity_routes(_routes, _viewsets)]),
    path("admin/", admin.site.urls),
]


def handler404(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path.startswith("/api/"):
        return problems.outside_views(request, exception)
    return defaults.page_not_found(request, exception)


def handler500(request: HttpRequest) -> HttpResponse:
    if request.path.startswith("/api/"):
        return problems.outside_views(request, problems.InternalError())
    return defaults.server_error(request)


def handler400(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path.startswith("/api/"):
        return problems.outside_views(request, exception)
    return defaults.bad_request(request, exception)
