"""What reports plug into registries: who else may read them, what they tell, the files they make."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import Q

from analytics.reports.models import Visibility
from analytics.reports.operations.defaults import seed_reports
from analytics.reports.operations.delivery import DOMAINS_SETTING, FAILED_KIND
from analytics.reports.operations.runs import FILE_KIND
from core.access.visibility import SHARING
from core.delivery.kinds import NotificationKind, register_notification_kind
from core.entities import Entity
from core.entities.kinds import BadValue
from core.files.kinds import FILE_KINDS, MIB, FileKind
from core.identity.operations import COMPANY_SETTINGS, CompanySetting
from core.identity.operations.companies import COMPANY_STARTERS
from core.tenancy.actors import Actor

_DOMAIN = re.compile(r"[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+")


def _shared(entity: Entity, actor: Actor, verb: str) -> Q | None:
    """What belongs to the whole company, and what is shared with the actor or their role, is open for reading."""
    if entity.name not in ("report", "dashboard") or verb != "read":
        return None
    keys = [str(key) for key in (actor.user_id, actor.rights.role_id) if key is not None]
    found = Q(visibility=Visibility.COMPANY)
    for key in keys:
        found |= Q(visibility=Visibility.SHARED, shared_with__contains=[key])
    return found


SHARING.register("reports", _shared)
COMPANY_STARTERS.register("reports", seed_reports)


def _domains(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(
        isinstance(item, str) and _DOMAIN.fullmatch(item) for item in value
    ):
        raise BadValue("not_a_list", "A list of domains such as example.com is expected.")
    return [item.lower() for item in value]


COMPANY_SETTINGS.register(
    DOMAINS_SETTING,
    CompanySetting(_domains, [], "Domains outside the company that scheduled reports may be sent to."),
)
register_notification_kind(
    NotificationKind(
        name=FAILED_KIND,
        label="Reports that were not sent",
        description="A scheduled report of yours could not be made, or not be sent to everybody.",
    )
)
# A file holds what whoever it was made for may see, so it is theirs alone.
FILE_KINDS.register(
    FILE_KIND,
    FileKind(
        name=FILE_KIND,
        max_bytes=256 * MIB,
        retention=lambda: timedelta(days=settings.REPORT_FILE_RETENTION_DAYS),
    ),
)
