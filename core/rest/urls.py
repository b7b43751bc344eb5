"""Routes of core: monitoring, recycle bin, stored files, metadata, sign-in and people, notifications."""

from __future__ import annotations

from django.urls import path

from core.rest.accounts import urls as accounts
from core.rest.changes import ChangesView
from core.rest.delivery import urls as delivery
from core.rest.files import FileDownloadView, FileLinkView, FileView, LinkedFileView
from core.rest.jobs import CancelJobView, JobsView, JobView, RetryJobView
from core.rest.metadata import EntitiesView, EntityMetadataView, FieldsView
from core.rest.monitoring import HealthView
from core.rest.recycle_bin import RecycleBinView
from core.rest.schema.views import DocsView, SchemaView

urlpatterns = [
    path("schema/", SchemaView.as_view(), name="schema"),
    path("docs/", DocsView.as_view(), name="docs"),
    path("metadata/entities/", EntitiesView.as_view(), name="metadata-entities"),
    path("metadata/entities/<str:name>/", EntityMetadataView.as_view(), name="metadata-entity"),
    path("metadata/entities/<str:name>/fields/", FieldsView.as_view(), name="metadata-fields"),
    path("monitoring/health/", HealthView.as_view(), name="monitoring-health"),
    path("jobs/", JobsView.as_view(), name="jobs"),
    path("jobs/<uuid:job_id>/", JobView.as_view(), name="job"),
    path("jobs/<uuid:job_id>/cancel/", CancelJobView.as_view(), name="job-cancel"),
    path("jobs/<uuid:job_id>/retry/", RetryJobView.as_view(), name="job-retry"),
    path("changes/", ChangesView.as_view(), name="changes"),
    path("recycle-bin/", RecycleBinView.as_view(), name="recycle-bin"),
    path("files/d/<str:token>/", LinkedFileView.as_view(), name="files-linked"),
    path("files/<str:pk>/", FileView.as_view(), name="files-detail"),
    path("files/<str:pk>/download/", FileDownloadView.as_view(), name="files-download"),
    path("files/<str:pk>/link/", FileLinkView.as_view(), name="files-link"),
    *accounts.urlpatterns,
    *delivery.urlpatterns,
]

viewsets = accounts.viewsets
