"""The pages of reports and dashboards, as the navigation shows them."""

from __future__ import annotations

from typing import cast

from django.contrib.admin import site
from django.views.decorators.http import require_GET, require_POST

from analytics.admin import dashboards, reports
from core.access import view
from core.backoffice.site import BackOfficeSite, Page
from core.tenancy.actors import Actor


def _may_read(actor: Actor) -> bool:
    return view("report", actor).can("read")


_PAGES = (
    Page(
        "Dashboards", "dashboards", "dashboard", "Reports", "dashboards/", dashboards.show_list, 10, _may_read
    ),
    Page("Reports", "reports", "table_chart", "Reports", "reports/", reports.show_list, 20, _may_read),
    *(
        Page(title, name, "", "Reports", route, shown, in_navigation=False)
        for title, name, route, shown in (
            ("New report", "report_new", "reports/new/", require_GET(reports.build)),
            ("Preview", "report_preview", "reports/preview/", require_POST(reports.preview)),
            ("Save", "report_save", "reports/save/", require_POST(reports.save)),
            ("Report", "report", "reports/<uuid:report_id>/", require_GET(reports.build)),
            ("Records", "report_drill", "reports/<uuid:report_id>/records/", require_GET(reports.drill)),
            ("File", "report_file", "reports/<uuid:report_id>/file/", require_POST(reports.file)),
            ("Dashboard", "dashboard", "dashboards/<uuid:dashboard_id>/", require_GET(dashboards.show)),
        )
    ),
)
for _page in _PAGES:
    cast(BackOfficeSite, site).add_page(_page)
