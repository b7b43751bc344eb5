"""`GET /api/v1/monitoring/health/`: does the system answer, and if not, what does not."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict
from rest_framework.request import Request
from rest_framework.response import Response

from core.jobs.health import health
from core.kernel.errors import Fault, Invalid
from core.rest.schema import documented
from core.rest.views import ApiView

OK, UNAVAILABLE = 200, 503
_LIVE = {"live": {"type": "string", "enum": ["1"], "description": "`1` asks the process alone."}}


class HealthPart(BaseModel):
    """One part of the system."""

    model_config = ConfigDict(extra="forbid")

    ok: bool
    detail: str


class Health(BaseModel):
    """`ok`, `degraded` (what does not answer can wait) or `down`, and each part by its name."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["ok", "degraded", "down"]
    parts: dict[str, HealthPart]


class HealthView(ApiView):
    """200 when database, Redis, worker and beat answer, else 503 naming what does not; `?live=1` asks the process alone."""

    public = True
    authentication_classes = ()
    # A transaction around it would fail before it could say that the database is away.
    commits_itself = True

    @documented(response=Health, also={UNAVAILABLE: Health}, query=_LIVE)
    def get(self, request: Request) -> Response:
        live = request.query_params.get("live")
        if live not in (None, "1"):
            raise Invalid(faults=[Fault("live", "not_a_choice", "One of: 1.")])
        if live:
            return Response({"status": "ok", "parts": {}})
        state = health(self.now)
        parts = {name: {"ok": part.ok, "detail": part.detail} for name, part in state.parts.items()}
        answer = Response({"status": state.status, "parts": parts}, status=OK if state.ok else UNAVAILABLE)
        if not state.ok:
            answer["Retry-After"] = "5"
        return answer
