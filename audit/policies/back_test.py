"""How often a policy would have fired."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audit.models import AuditLog, AuditPolicy
from audit.policies.rules import matches
from audit.queries import entries
from core.tenancy.actors import Actor

BATCH = 500
# A request reads no more; longer times are asked in parts.
MOST_READ = 200_000
MOST_SHOWN = 20


@dataclass(frozen=True)
class BackTest:
    """`read` entries of the policy's kinds and actions were asked. Not complete: there were more than may be read."""

    read: int
    matched: int
    alerts: int
    reviews: int
    is_complete: bool
    newest: list[AuditLog]


def back_test(actor: Actor, policy: AuditPolicy, since: datetime, until: datetime) -> BackTest:
    """What the policy, as it is now, would have raised in a time (`until` excluded). Raises: Forbidden."""
    found: Any = entries(actor).filter(at__gte=since, at__lt=until).exclude(entity_type="audit_alert")
    if policy.applies_to_entities:
        found = found.filter(entity_type__in=policy.applies_to_entities)
    if policy.applies_to_actions:
        found = found.filter(action__in=policy.applies_to_actions)
    read = matched = alerts = reviews = 0
    newest: list[AuditLog] = []
    after = None
    while read < MOST_READ:
        page = found if after is None else found.filter(pk__lt=after)
        batch = list(page.order_by("-pk")[:BATCH])
        for match in matches(policy, batch):
            matched += 1
            alerts += match.alerts
            reviews += match.requires_review
            if len(newest) < MOST_SHOWN:
                newest.append(match.entry)
        read += len(batch)
        if len(batch) < BATCH:
            return BackTest(read, matched, alerts, reviews, True, newest)
        after = batch[-1].pk
    return BackTest(read, matched, alerts, reviews, False, newest)
