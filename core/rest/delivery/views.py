"""The caller's own notifications in the company they work in, and how they want to hear of what."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.delivery import operations, queries
from core.delivery.kinds import CHANNELS, NOTIFICATION_KINDS
from core.delivery.models import Notification
from core.kernel.errors import Fault, Invalid, NotFound
from core.rest.schema import documented
from core.rest.serializers import StrictSerializer
from core.rest.views import MEMBER, ApiView

PAGE_SIZE, MAX_PAGE_SIZE = 50, 200
PATH = "/api/v1/notifications/"


class NotificationOutput(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    kind = serializers.CharField()
    title = serializers.CharField()
    body = serializers.CharField()
    entity = serializers.CharField(
        source="entity_type", help_text="The kind of record it is about, or empty."
    )
    entity_id = serializers.UUIDField(allow_null=True)
    created_at = serializers.DateTimeField()
    read_at = serializers.DateTimeField(allow_null=True)


class NotificationPageOutput(serializers.Serializer[Any]):
    results = NotificationOutput(many=True)
    next = serializers.CharField(allow_null=True, help_text="The address of the next page.")


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


def _kind() -> dict[str, Any]:
    return {"type": "string", "enum": list(NOTIFICATION_KINDS.names()), "description": "Only this kind."}


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


_LIST_QUERY: dict[str, Any] = {
    "unread": {"type": "boolean", "description": "Only those that are unread, or only those that are read."},
    "kind": _kind,
    "before": {"type": "string", "format": "uuid", "description": "Those older than this one."},
    "page_size": {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": PAGE_SIZE},
}


class NotificationsView(ApiView):
    """The caller's notifications, the newest first."""

    verbs = {"get": MEMBER}

    @documented(response=NotificationPageOutput, query=_LIST_QUERY, summary="List your notifications")
    def get(self, request: Request) -> Response:
        asked = _read_query(request)
        rows = queries.notifications_of(self.actor)
        if asked["unread"] is not None:
            rows = rows.filter(read_at__isnull=asked["unread"])
        if asked["kind"]:
            rows = rows.filter(kind=asked["kind"])
        if asked["before"]:
            rows = rows.filter(pk__lt=asked["before"])
        size = asked["page_size"]
        found = list(rows[: size + 1])
        following = None
        if len(found) > size:
            query = request.query_params.copy()
            query["before"] = str(found[size - 1].pk)
            following = request.build_absolute_uri(f"{PATH}?{query.urlencode()}")
        return Response({"results": NotificationOutput(found[:size], many=True).data, "next": following})


def _read_query(request: Request) -> dict[str, Any]:
    """Raises: Invalid with every fault."""
    given, faults = request.query_params, []
    unread = given.get("unread")
    if unread not in (None, "true", "false"):
        faults.append(Fault("unread", "not_a_boolean", "true or false is expected."))
    kind = given.get("kind")
    if kind is not None and kind not in NOTIFICATION_KINDS:
        faults.append(Fault("kind", "not_a_choice", "There is no such kind of notification."))
    before = given.get("before")
    if before is not None and _uuid(before) is None:
        faults.append(Fault("before", "not_an_id", "An id is expected."))
    size = given.get("page_size", str(PAGE_SIZE))
    is_size = size.isascii() and size.isdigit() and len(size) <= 4 and 1 <= int(size) <= MAX_PAGE_SIZE
    if not is_size:
        faults.append(Fault("page_size", "out_of_range", f"1 to {MAX_PAGE_SIZE} are possible."))
    if faults:
        raise Invalid(faults=faults)
    return {
        "unread": None if unread is None else unread == "true",
        "kind": kind,
        "before": _uuid(before) if before else None,
        "page_size": int(size),
    }


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


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

    @documented(response=NotificationOutput, summary="Mark a notification as read")
    def post(self, request: Request, notification_id: str) -> Response:
        known = _uuid(notification_id)
        if known is None:
            raise NotFound()
        read: Notification = operations.mark_read(actor=self.actor, notification_id=known, now=self.now)
        return Response(NotificationOutput(read).data)


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
