"""Routes of the CRM."""

from __future__ import annotations

from typing import Any

from django.urls import path

from core.rest.routing import EntityRouter
from crm import views

_LIST: dict[str, Any] = {"get": "list", "post": "create"}
_RECORD: dict[str, Any] = {"get": "retrieve", "put": "update", "patch": "partial_update", "delete": "destroy"}

urlpatterns = [
    path(
        "pipelines/<str:parent_pk>/stages/",
        views.StagesOfPipelineViewSet.as_view(_LIST),
        name="pipeline-stages-of",
    ),
    path(
        "deals/<str:parent_pk>/products/", views.ProductsOfDealViewSet.as_view(_LIST), name="deal-products-of"
    ),
    path(
        "deals/<str:parent_pk>/products/<str:pk>/",
        views.ProductsOfDealViewSet.as_view(_RECORD),
        name="deal-product-of",
    ),
    path(
        "deals/<str:parent_pk>/contacts/", views.ContactsOfDealViewSet.as_view(_LIST), name="deal-contacts-of"
    ),
    path(
        "deals/<str:parent_pk>/contacts/<str:pk>/",
        views.ContactsOfDealViewSet.as_view(_RECORD),
        name="deal-contact-of",
    ),
    path(
        "activities/<str:parent_pk>/participants/",
        views.ParticipantsOfActivityViewSet.as_view(_LIST),
        name="activity-participants-of",
    ),
    path(
        "activities/<str:parent_pk>/participants/<str:pk>/",
        views.ParticipantsOfActivityViewSet.as_view(_RECORD),
        name="activity-participant-of",
    ),
    path(
        "deals/<str:parent_pk>/stage-history/",
        views.HistoryOfDealViewSet.as_view({"get": "list"}),
        name="deal-stage-history",
    ),
    path(
        "deals/<str:parent_pk>/activities/",
        views.ActivitiesOfDealViewSet.as_view(_LIST),
        name="deal-activities",
    ),
]


def routes(router: EntityRouter) -> None:
    """Add the CRM's viewsets."""
    for viewset in (
        views.AccountViewSet,
        views.ContactViewSet,
        views.LeadViewSet,
        views.DealViewSet,
        views.PipelineViewSet,
        views.PipelineStageViewSet,
        views.ProductViewSet,
        views.DealProductViewSet,
        views.DealContactViewSet,
        views.ActivityViewSet,
        views.ActivityParticipantViewSet,
        views.TaskViewSet,
        views.NoteViewSet,
        views.TagViewSet,
        views.LostReasonViewSet,
    ):
        router.add(viewset)
