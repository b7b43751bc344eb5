"""Facts of policies and alerts."""

from __future__ import annotations

from audit.operations import policies
from audit.rights import MANAGE_AUDIT, VIEW_AUDIT
from core.entities import Entity, Writes, fact, register

AUDIT_POLICY = register(
    Entity(
        name="audit_policy",
        plural="audit_policies",
        served_at="audit/policies",
        description="What the company wants to hear of in its change log, and how long it has to be kept.",
        model_label="audit.AuditPolicy",
        facts=(
            fact("name", key=True, meaning="name", search="A"),
            fact("description"),
            fact("is_active"),
            fact(
                "rules",
                description=(
                    "A list of rules: `condition` as JSON or as a line such as `is_sensitive == True`, `alert`, "
                    "`require_review`."
                ),
            ),
            fact("applies_to_entities", description="Kinds of records; empty for all."),
            fact("applies_to_actions", description="Actions of the log; empty for all."),
            fact("alert_on_violation", description="Whether the recipients get an email."),
            fact("alert_recipients", pii=True),
            fact("retention_days", description="How long such entries have to be kept."),
        ),
        writes=Writes(
            policies.create_audit_policies, policies.update_audit_policies, policies.delete_audit_policies
        ),
        ordering="name",
        guarded_by=MANAGE_AUDIT,
        read_guarded_by=VIEW_AUDIT,
    )
)

AUDIT_ALERT = register(
    Entity(
        name="audit_alert",
        plural="audit_alerts",
        served_at="audit/alerts",
        description="Entries of the change log that met a policy.",
        model_label="audit.AuditAlert",
        facts=(
            fact("policy", read_only=True),
            fact("log_id", read_only=True, label="Entry", dimension=False, measure=False),
            fact("occurred_at", read_only=True),
            fact("action", read_only=True),
            fact("entity_type", read_only=True),
            fact("record_id", read_only=True),
            fact("person", read_only=True),
            fact("rules", read_only=True),
            fact("requires_review", read_only=True),
        ),
        title=("action", "entity_type"),
        guarded_by=MANAGE_AUDIT,
        read_guarded_by=VIEW_AUDIT,
    )
)
