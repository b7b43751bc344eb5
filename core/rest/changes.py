"""`/changes/`: what happened to records, in the order of commit, for programs that keep a copy in step."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.core import signing
from pydantic import BaseModel, ConfigDict, Field
from rest_framework.request import Request
from rest_framework.response import Response

from core.access.feed import Feed, Place, kinds_in_feed, present, read_feed
from core.entities import Entity, entities
from core.kernel.errors import Fault, Invalid
from core.rest.schema import documented
from core.rest.views import MEMBER, ApiView

DEFAULT_LIMIT, MAX_LIMIT = 100, 500
NOW = "now"


class FeedEntryDocument(BaseModel):
    """One change of one record."""

    model_config = ConfigDict(extra="forbid")

    at: datetime
    entity: str
    id: UUID
    change: str = Field(description="created, updated, deleted or restored.")
    changed_fields: list[str] = Field(
        description="Of an update: the fields that changed, as far as the caller sees them."
    )
    version: int | None = Field(description="The record's present version; null once it is deleted.")
    record: dict[str, Any] | None = Field(
        None, description="With `record=1`: the record as it is now; null once it is deleted."
    )


class FeedDocument(BaseModel):
    """Changes, oldest first. `after` is where to go on, whether there were changes or not."""

    model_config = ConfigDict(extra="forbid")

    results: list[FeedEntryDocument]
    after: str
    has_more: bool = Field(description="Whether there was more at once; otherwise ask again later.")


def _entity_parameter() -> dict[str, Any]:
    word = "|".join(sorted(entity.name for entity in entities if getattr(entity.model, "logged", False)))
    return {
        "type": "string",
        "pattern": f"^({word})(,({word}))*$",
        "description": "Only these kinds of records, separated by commas.",
    }


class ChangesView(ApiView):
    """Follow what happens to records: nothing is told twice, and nothing is passed over."""

    verbs = {"get": MEMBER}

    @documented(
        response=FeedDocument,
        query={
            "after": {
                "type": "string",
                "description": "Where the last answer ended. `now`: the present; nothing: the beginning of the log.",
            },
            "entity": _entity_parameter,
            "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
            "record": {"type": "string", "enum": ["1"], "description": "With each record as it is now."},
        },
    )
    def get(self, request: Request) -> Response:
        """What happened to the records that the caller sees, in the order of commit."""
        faults: list[Fault] = []
        given = request.query_params
        kinds = self._kinds(given.get("entity"), faults)
        limit = _limit(given.get("limit"), faults)
        if given.get("record") not in (None, "1"):
            faults.append(Fault("record", "not_a_choice", "One of: 1."))
        after = self._place(given.get("after"), faults)
        if faults:
            raise Invalid(faults=faults)
        if given.get("after") == NOW:
            return self._feed(Feed([], present(), False), False)
        with_records = "record" in given
        return self._feed(
            read_feed(self.actor, kinds, after, limit, with_documents=with_records), with_records
        )

    def _feed(self, feed: Feed, with_records: bool) -> Response:
        results = []
        for entry in feed.entries:
            shown: dict[str, Any] = {
                "at": entry.at.isoformat().replace("+00:00", "Z"),
                "entity": entry.entity,
                "id": str(entry.id),
                "change": entry.kind,
                "changed_fields": list(entry.changed_fields),
                "version": entry.version,
            }
            results.append({**shown, "record": entry.document} if with_records else shown)
        after = self._signer().sign_object([feed.place.xid, feed.place.log_id])
        return Response({"results": results, "after": after, "has_more": feed.has_more})

    def _signer(self) -> signing.Signer:
        return signing.Signer(salt=f"changes:{self.actor.company_id}", sep="~")

    def _kinds(self, text: str | None, faults: list[Fault]) -> list[Entity]:
        kinds = kinds_in_feed(self.actor)
        if text is None:
            return kinds
        wanted = text.split(",")
        names = {entity.name for entity in kinds}
        for name in wanted:
            if name not in names:
                detail = f"There is no kind {name[:64]!r}. There are: {', '.join(sorted(names))}."
                faults.append(Fault("entity", "not_a_choice", detail))
        return [entity for entity in kinds if entity.name in wanted]

    def _place(self, text: str | None, faults: list[Fault]) -> Place:
        if text is None or text == NOW:
            return Place()
        try:
            xid, log_id = self._signer().unsign_object(text)
        except (signing.BadSignature, ValueError):
            faults.append(Fault("after", "bad_cursor", "This place was not given out here."))
            return Place()
        return Place(xid, log_id)


def _limit(text: str | None, faults: list[Fault]) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text) > 0):
        faults.append(Fault("limit", "not_an_integer", "A whole number from 1 is expected."))
        return DEFAULT_LIMIT
    if int(text) > MAX_LIMIT:
        faults.append(Fault("limit", "too_large", f"At most {MAX_LIMIT} is allowed."))
    return min(int(text), MAX_LIMIT)
