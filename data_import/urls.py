"""Routes of imports."""

from __future__ import annotations

from typing import Any

from django.urls import path

from data_import.staged_rows import StagedRowsView
from data_import.views import ImportJobViewSet

_JOB = "data-import/jobs/<str:pk>/"


def _route(tail: str, name: str, **actions: str) -> object:
    served: dict[str, Any] = dict(actions)
    return path(tail, ImportJobViewSet.as_view(served), name=f"import-jobs-{name}")


urlpatterns: list[object] = [
    _route("data-import/jobs/", "list", get="list", post="upload"),
    _route(_JOB, "detail", get="retrieve", patch="partial_update"),
    _route(f"{_JOB}detect/", "detect", post="detect"),
    path(f"{_JOB}staging/", StagedRowsView.as_view(), name="import-jobs-staging"),
    _route(f"{_JOB}staging/<str:row>/", "fix", patch="fix"),
    _route(f"{_JOB}preview/", "preview", get="preview"),
    _route(f"{_JOB}start/", "start", post="start"),
    _route(f"{_JOB}cancel/", "cancel", post="cancel"),
    _route(f"{_JOB}errors.csv/", "errors", get="errors"),
    _route(f"{_JOB}errors.csv", "errors-file", get="errors"),
    _route(f"{_JOB}progress/", "progress", get="progress"),
]
