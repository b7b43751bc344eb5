"""Routes of territories beside those of the registry."""

from __future__ import annotations

from django.urls import path

from territories.views import assignment, tree

_ONE = "territories/<uuid:territory_id>/"

urlpatterns = [
    path("territories/tree/", tree.TreeView.as_view(), name="territories-tree"),
    path("territories/reassign/", assignment.ReassignView.as_view(), name="territories-reassign"),
    path("territories/explain/", assignment.ExplainView.as_view(), name="territories-explain"),
    path("territories/assignments/", assignment.AssignmentsView.as_view(), name="territories-assignments"),
    path(f"{_ONE}parents/", tree.ParentsView.as_view(), name="territory-parents"),
    path(f"{_ONE}hierarchy/", tree.HierarchyView.as_view(), name="territory-hierarchy"),
    path(f"{_ONE}metrics/", tree.MetricsView.as_view(), name="territory-metrics"),
]
viewsets = [tree.TerritoryViewSet]
