"""Facts of policies and alerts."""

from __future__ import annotations

from audit.operations import outputs, policies
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

_OUTCOME = (
    fact("status", read_only=True, meaning="status"),
    fact("job_id", read_only=True, dimension=False, description="The job that makes it, at `jobs/{id}/`."),
    fact("row_count", read_only=True),
    fact("notice", read_only=True, description="What its reader should know, such as rows left out."),
    fact("error", read_only=True),
    fact("finished_at", read_only=True),
    fact("expires_at", read_only=True, description="When its files go."),
)

AUDIT_LOG_EXPORT = register(
    Entity(
        name="audit_log_export",
        plural="audit_log_exports",
        served_at="audit/exports",
        description=(
            "Entries of the change log as a file: a job makes it, and `audit/exports/{id}/download/` gives it to whoever "
            "asked for it. Each export is itself an entry of the log."
        ),
        model_label="audit.AuditLogExport",
        facts=(
            fact("name", meaning="name"),
            fact("file_format"),
            fact(
                "filters",
                description="Which entries: parameters of `audit/logs/` with their values; empty for all.",
            ),
            *_OUTCOME,
            fact("file_id", read_only=True, dimension=False, description="The file, at `files/{id}/`."),
            fact("is_complete", read_only=True, description="Whether the format held every entry."),
        ),
        writes=Writes(create=outputs.create_audit_log_exports, delete=outputs.delete_audit_log_exports),
        guarded_by=MANAGE_AUDIT,
        read_guarded_by=VIEW_AUDIT,
    )
)

COMPLIANCE_REPORT = register(
    Entity(
        name="compliance_report",
        plural="compliance_reports",
        served_at="audit/compliance-reports",
        description=(
            "What the change log says on one question, made by a job as PDF and as JSON: "
            "`audit/compliance-reports/{id}/download/`."
        ),
        model_label="audit.ComplianceReport",
        facts=(
            fact("name", meaning="name"),
            fact("report_type"),
            fact("period_start", description="From this time on; by default 30 days before its end."),
            fact("period_end", description="Before this time; by default now."),
            fact(
                "subject_type", description="The kind of the record that a report on a data subject is about."
            ),
            fact("subject_id", dimension=False, description="That record."),
            *_OUTCOME,
            fact(
                "pdf_file_id", read_only=True, dimension=False, description="The PDF file, at `files/{id}/`."
            ),
            fact(
                "json_file_id",
                read_only=True,
                dimension=False,
                description="The JSON file, at `files/{id}/`.",
            ),
        ),
        writes=Writes(create=outputs.create_compliance_reports, delete=outputs.delete_compliance_reports),
        guarded_by=MANAGE_AUDIT,
        read_guarded_by=VIEW_AUDIT,
    )
)
