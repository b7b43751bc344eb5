"""The caller's own notifications in the company they work in, and how they want to hear of what."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django_filters import FilterSet
from pydantic import BaseModel, ConfigDict
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.delivery import operations, queries
from core.delivery.kinds import CHANNELS, NOTIFICATION_KINDS
from core.delivery.models import Notification
from core.rest.filtered_lists import FilteredListView
from core.rest.filters import BooleanFilter, ChoiceFilter
from core.rest.schema import documented
from core.rest.serializers import StrictSerializer
from core.rest.views import MEMBER, ApiView


class NotificationDocument(BaseModel):
    """`entity` and `entity_id` name the record it is about; empty and null where there is none."""

    model_config = ConfigDict(extra="forbid")

    id: UUID
    kind: str
    title: str
    body: str
    entity: str
    entity_id: UUID | None
    created_at: datetime
    read_at: datetime | None


def as_document(item: Notification) -> NotificationDocument:
    return NotificationDocument(
        id=item.pk,
        kind=item.kind,
        title=item.title,
        body=item.body,
        entity=item.entity_type,
        entity_id=item.entity_id,
        created_at=item.created_at,
        read_at=item.read_at,
    )


class UnreadCountOutput(serializers.Serializer[Any]):
    unread = serializers.IntegerField()


class ReadAllOutput(serializers.Serializer[Any]):
    read = serializers.IntegerField(help_text="How many were unread.")


class PreferenceOutput(serializers.Serializer[Any]):
    kind = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment] # the framework's own attribute is another
    description = serializers.CharField()
    channels = serializers.ListField(child=serializers.ChoiceField(CHANNELS))
    default_channels = serializers.ListField(child=serializers.ChoiceField(CHANNELS))


class PreferencesOutput(serializers.Serializer[Any]):
    results = PreferenceOutput(many=True)


class PreferencesInput(StrictSerializer):
    channels = serializers.DictField(child=serializers.ListField(child=serializers.CharField(max_length=16)))


def _preferences() -> dict[str, Any]:
    channels = {
        "type": "array",
        "items": {"type": "string", "enum": list(CHANNELS)},
        "uniqueItems": True,
        "maxItems": len(CHANNELS),
    }
    return {
        "type": "object",
        "required": ["channels"],
        "properties": {
            "channels": {
                "type": "object",
                "properties": {
                    kind.name: {**channels, "description": kind.description} for kind in NOTIFICATION_KINDS
                },
                "additionalProperties": False,
                "description": "By kind; one that is left out goes back to its defaults.",
            }
        },
        "additionalProperties": False,
        "examples": [{"channels": {kind.name: ["in_app", "email"] for kind in NOTIFICATION_KINDS}}],
    }


class NotificationFilters(FilterSet):
    unread = BooleanFilter(
        "read_at__isnull", label="Only those that are unread, or only those that are read."
    )
    kind = ChoiceFilter(
        choices=lambda: [(kind.name, kind.label) for kind in NOTIFICATION_KINDS], label="Only this kind."
    )


class NotificationsView(FilteredListView):
    """The caller's notifications, the newest first."""

    filterset_class = NotificationFilters
    # Ids are ordered by time, so that one index finds them and walks them.
    orderings = {"created_at": "id"}
    default_ordering = "-created_at"
    document = NotificationDocument

    def rows(self) -> QuerySet[Notification]:
        return queries.notifications_of(self.actor)

    def documents(self, rows: Sequence[Notification]) -> list[NotificationDocument]:
        return [as_document(item) for item in rows]


class UnreadCountView(ApiView):
    """How many of the caller's notifications are unread."""

    verbs = {"get": MEMBER}

    @documented(response=UnreadCountOutput, summary="Count your unread notifications")
    def get(self, request: Request) -> Response:
        return Response({"unread": queries.count_unread(self.actor)})


class ReadAllView(ApiView):
    """Mark all of the caller's notifications as read."""

    verbs = {"post": MEMBER}

    @documented(response=ReadAllOutput, summary="Mark all your notifications as read")
    def post(self, request: Request) -> Response:
        return Response({"read": operations.mark_all_read(actor=self.actor, now=self.now)})


class ReadView(ApiView):
    """Mark one notification as read."""

    verbs = {"post": MEMBER}

    @documented(response=NotificationDocument, summary="Mark a notification as read")
    def post(self, request: Request, notification_id: UUID) -> Response:
        read = operations.mark_read(actor=self.actor, notification_id=notification_id, now=self.now)
        return Response(as_document(read).model_dump(mode="json"))


class PreferencesView(ApiView):
    """By which channels the caller hears of each kind of notification, in this company."""

    verbs = {"get": MEMBER, "put": MEMBER}

    @documented(response=PreferencesOutput, summary="Get your notification preferences")
    def get(self, request: Request) -> Response:
        return Response(
            {
                "results": [
                    {
                        "kind": item.kind.name,
                        "label": item.kind.label,
                        "description": item.kind.description,
                        "channels": list(item.channels),
                        "default_channels": list(item.kind.channels),
                    }
                    for item in queries.list_preferences(self.actor)
                ]
            }
        )

    @documented(request=_preferences, response=PreferencesOutput, summary="Set your notification preferences")
    def put(self, request: Request) -> Response:
        body = PreferencesInput.read(request.data)
        operations.set_preferences(actor=self.actor, channels=body["channels"])
        return self.get(request)
