"""The routes of core alone."""

from django.contrib import admin
from django.urls import include, path

import core.rest.urls
from core.rest.routing import EntityRouter

router = EntityRouter()
core.rest.urls.routes(router)

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/v1/", include([*core.rest.urls.urlpatterns, *router.urls])),
]
