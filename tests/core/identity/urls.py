"""The routes of core alone."""

from django.contrib import admin
from django.urls import include, path

import core.rest.urls
from core.rest.routing import entity_routes

routes = [*core.rest.urls.urlpatterns, *entity_routes(core.rest.urls.urlpatterns, core.rest.urls.viewsets)]

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/v1/", include(routes)),
]
