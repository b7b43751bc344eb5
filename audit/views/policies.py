"""What a policy would have done."""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict
from rest_framework.request import Request
from rest_framework.response import Response

from audit.documents import AuditLogDocument, entry_documents
from audit.policies.back_test import back_test
from audit.rights import VIEW_AUDIT
from audit.views.parameters import PERIOD, read_period
from core.access import view
from core.kernel.errors import Fault, Invalid
from core.rest.schema import documented
from core.rest.views import ApiView

DEFAULT_TIME = timedelta(days=30)


class BackTestDocument(BaseModel):
    """How often the policy would have fired; `newest` are the last of the entries that met it."""

    model_config = ConfigDict(extra="forbid")

    since: datetime
    until: datetime
    read: int
    matched: int
    alerts: int
    reviews: int
    is_complete: bool
    newest: list[AuditLogDocument]


class BackTestView(ApiView):
    """How often a policy would have fired in a time; by default the last 30 days."""

    verbs = {"get": VIEW_AUDIT}

    @documented(response=BackTestDocument, query=PERIOD, summary="Try an audit policy on what happened")
    def get(self, request: Request, audit_policy_id: str) -> Response:
        policy = view("audit_policy", self.actor).get(audit_policy_id)
        faults: list[Fault] = []
        since, until = read_period(request.query_params, self.actor.zone, DEFAULT_TIME, self.now, faults)
        if faults:
            raise Invalid(faults=faults)
        found = back_test(self.actor, policy, since, until)
        document = BackTestDocument(
            since=since,
            until=until,
            read=found.read,
            matched=found.matched,
            alerts=found.alerts,
            reviews=found.reviews,
            is_complete=found.is_complete,
            newest=entry_documents(self.actor, found.newest),
        )
        return Response(document.model_dump(mode="json"))
