"""Dashboards beside what the registry gives them: what they show."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from analytics.reports import queries
from analytics.reports.dashboards import show
from analytics.reports.views.documents import DashboardAnswerDocument
from core.access import view
from core.render.charts.vega import vega_lite
from core.rest.schema import documented
from core.rest.views import ApiView


class RunView(ApiView):
    """What a dashboard shows."""

    verbs = {"post": "analytics"}

    @documented(response=DashboardAnswerDocument)
    def post(self, request: Request, pk: str) -> Response:
        """Run every report of the dashboard over the records that the caller sees."""
        dashboards = view("dashboard", self.actor)
        dashboards.require("read")
        dashboard = dashboards.get(pk)
        return Response(
            {
                "name": dashboard.name,
                "widgets": [
                    {
                        **item.widget.model_dump(),
                        "title": item.title,
                        "pivot": queries.as_document(item.answer) if item.answer else None,
                        "chart": vega_lite(item.chart) if item.chart else None,
                        "problem": item.problem,
                    }
                    for item in show(self.actor, dashboard, now=self.now)
                ],
            }
        )
