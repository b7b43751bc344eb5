"""Every URL: the API's routes come from each app's `urls.py`, the back office from the admin site."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views import defaults

import core.rest.urls
import crm.urls
import data_import.urls
from core.rest import problems
from core.rest.routing import EntityRouter, RoutesByFirstWord

router = EntityRouter()
api = []
for urls in (core.rest.urls, crm.urls, data_import.urls):
    urls.routes(router)
    api += urls.urlpatterns

urlpatterns = [
    RoutesByFirstWord("api/v1/", [*api, *router.urls]),
    path("admin/", admin.site.urls),
]


def handler404(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path.startswith("/api/"):
        return problems.not_found(request, exception)
    return defaults.page_not_found(request, exception)


def handler500(request: HttpRequest) -> HttpResponse:
    if request.path.startswith("/api/"):
        return problems.response(problems.InternalError())
    return defaults.server_error(request)


def handler400(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path.startswith("/api/"):
        return problems.response(exception)
    return defaults.bad_request(request, exception)
