"""Policies, and the alerts they raise."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from audit.models import AuditAlert, AuditLog, AuditPolicy
from audit.policies.rules import Match, matches, read_rules
from core.changes import Outcome, Rows, Rule, WriteSpec, erase, insert, update
from core.delivery.addresses import read_address
from core.delivery.operations import NewMail, send_many
from core.identity.models import Membership
from core.identity.operations.guards import Candidate, Verdicts, read_rows, rows_of
from core.kernel.errors import DomainError
from core.tenancy.actors import Actor

_SPEC = WriteSpec(AuditPolicy)
_REMOVAL = WriteSpec(
    AuditPolicy,
    rules=(
        Rule(
            "in_use",
            "id",
            "Alerts were raised by this policy; switch it off instead.",
            "EXISTS (SELECT FROM audit_auditalert x WHERE x.company_id = %(company)s::uuid AND x.policy_id = o.id)",
        ),
    ),
)
_ALERT = WriteSpec(AuditAlert)
# Entries that one mail tells of.
MOST_TOLD = 20


def create_audit_policies(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """New policies; they speak of entries from now on. Needs a transaction."""
    verdicts, accepted = _checked(actor, rows, {}, all_or_none)
    written = insert(_SPEC, rows_of(AuditPolicy, accepted), actor=actor, now=now, all_or_none=all_or_none)
    return verdicts.outcome(written, accepted)


def update_audit_policies(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Change policies; alerts that were raised stay. Needs a transaction."""
    stored = {policy.pk: policy for policy in AuditPolicy.objects.all()}
    verdicts, accepted = _checked(actor, rows, stored, all_or_none)
    written = update(_SPEC, rows_of(AuditPolicy, accepted), actor=actor, now=now, all_or_none=all_or_none)
    return verdicts.outcome(written, accepted)


def delete_audit_policies(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Remove policies that never raised an alert. Needs a transaction."""
    return erase(_REMOVAL, rows, actor=actor, now=now, all_or_none=all_or_none)


def _checked(
    actor: Actor, rows: Rows, stored: dict[Any, AuditPolicy], all_or_none: bool
) -> tuple[Verdicts, list[Candidate]]:
    candidates = read_rows(rows)
    verdicts = Verdicts(candidates, all_or_none)
    for item in candidates:
        values, before = item.values, stored.get(item.id)
        if "rules" in values or "applies_to_entities" in values:
            given = values.get("rules", before.rules if before else [])
            given = json.loads(given) if isinstance(given, str) else given
            kinds = values.get("applies_to_entities", before.applies_to_entities if before else [])
            try:
                values["rules"] = read_rules(given, actor.company_id, kinds or [])
            except DomainError as refusal:
                for fault in refusal.faults:
                    verdicts.refuse(item, fault.path, fault.code, fault.detail)
        for place, address in enumerate(values.get("alert_recipients") or ()):
            try:
                read_address(address, "alert_recipients")
            except DomainError:
                path = f"alert_recipients.{place}"
                verdicts.refuse(item, path, "not_an_email", "An email address is expected.")
    return verdicts, verdicts.accepted


def raise_alerts(*, actor: Actor, entries: Sequence[AuditLog], now: datetime) -> int:
    """Ask the company's active policies of the entries, which have their contexts. Needs a transaction; how many are new.

    Of each policy one mail goes to each recipient, whatever the number of entries. Asked again, nothing is raised twice.
    """
    raised = 0
    members: set[Any] | None = None
    for policy in AuditPolicy.objects.filter(is_active=True).order_by("pk"):
        found = [match for match in matches(policy, entries) if match.alerts or match.requires_review]
        if not found:
            continue
        if members is None:
            members = set(Membership.objects.values_list("user_id", flat=True))
        rows = [_alert(policy, match, members) for match in found]
        outcome = insert(_ALERT, Rows.of(AuditAlert, rows), actor=actor, now=now, all_or_none=False)
        new = [found[place] for place in sorted(outcome.ids)]
        raised += len(new)
        _tell(actor, policy, [match for match in new if match.alerts], now)
    return raised


def _alert(policy: AuditPolicy, match: Match, members: set[Any]) -> dict[str, Any]:
    entry = match.entry
    person = entry.context.actor_id if entry.context else None
    return {
        "policy": policy.pk,
        "log_id": entry.pk,
        "occurred_at": entry.at,
        "action": entry.action,
        "entity_type": entry.entity_type,
        "record_id": entry.entity_id,
        # Staff of the platform is nobody of this company.
        "person": person if person in members else None,
        "rules": list(match.rules),
        "requires_review": match.requires_review,
    }


def _tell(actor: Actor, policy: AuditPolicy, new: Sequence[Match], now: datetime) -> None:
    if not new or not policy.alert_on_violation or not policy.alert_recipients:
        return
    count = len(new)
    what = "One entry" if count == 1 else f"{count} entries"
    lines = [
        f"- {match.entry.at:%Y-%m-%d %H:%M:%S} UTC: {match.entry.action} {match.entry.entity_type} "
        f"{match.entry.entity_id or ''} (entry {match.entry.pk})"
        for match in new[:MOST_TOLD]
    ]
    if count > MOST_TOLD:
        lines.append(f"- and {count - MOST_TOLD} more")
    text = f"{what} of the change log met the audit policy “{policy.name}”:\n\n" + "\n".join(lines) + "\n"
    send_many(
        actor=actor,
        mails=[
            NewMail(
                kind="audit.alert",
                key=f"audit:{policy.pk}:{new[0].entry.pk}",
                to=recipient,
                subject=f"Audit policy {policy.name}: {what.lower()}",
                text=text,
                entity_type="audit_policy",
                entity_id=policy.pk,
            )
            for recipient in dict.fromkeys(policy.alert_recipients)
        ],
        now=now,
    )
