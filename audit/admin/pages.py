"""The pages of the change log, as the navigation shows them."""

from __future__ import annotations

from typing import cast

from django.contrib.admin import site
from django.views.decorators.http import require_POST

from audit.admin import entries, explorer, seals
from audit.rights import VIEW_AUDIT
from core.backoffice.site import BackOfficeSite, Page
from core.tenancy.actors import Actor


def _may_view(actor: Actor) -> bool:
    return actor.rights.can(VIEW_AUDIT)


_PAGES = (
    Page(
        "Change log", "change_log", "manage_search", "Audit", "change-log/", explorer.show_log, 10, _may_view
    ),
    Page(
        "What happened",
        "change_log_summary",
        "bar_chart",
        "Audit",
        "change-summary/",
        explorer.show_summary,
        15,
        _may_view,
    ),
    Page("Seals", "change_log_seals", "verified_user", "Audit", "seals/", seals.show_seals, 20, _may_view),
    *(
        Page(title, name, "", "Audit", f"change-log/{route}", shown, in_navigation=False)
        for title, name, route, shown in (
            ("Newer entries", "change_log_news", "news/", explorer.count_news),
            ("Export", "change_log_export", "export/", require_POST(explorer.export)),
            ("Entry", "change_log_entry", "<int:log_id>/", entries.show_entry),
            ("Review", "change_log_review", "<int:log_id>/review/", require_POST(entries.review)),
            ("Revert", "change_log_revert", "<int:log_id>/revert/", require_POST(entries.revert)),
            (
                "Record",
                "change_log_record",
                "records/<str:entity_type>/<uuid:record_id>/",
                entries.show_record,
            ),
        )
    ),
)
for _page in _PAGES:
    cast(BackOfficeSite, site).add_page(_page)
