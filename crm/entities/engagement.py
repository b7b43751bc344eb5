"""Activities with their participants, tasks and notes."""

from __future__ import annotations

from core.entities import RECORD_FACTS, RECORD_INTERNAL, Entity, Nested, Writes, fact, register
from core.entities.kinds import Kind
from crm import operations
from crm.entities.facts import became, changed_field

_RELATED = (fact("account"), fact("contact"), fact("lead"), fact("deal"))


_THROUGH = ("account", "contact", "lead", "deal")


ACTIVITY = register(
    Entity(
        name="activity",
        plural="activities",
        description="Calls, emails, meetings and other touches.",
        nested=(Nested("deal", "activities"),),
        model_label="crm.Activity",
        facts=(
            fact("type"),
            fact("subject", meaning="name", search="A"),
            fact("description", search="D"),
            fact("status", meaning="status"),
            fact("direction"),
            fact("start_at", meaning="start_at"),
            fact("end_at"),
            fact("duration_minutes"),
            fact("location", search="D"),
            fact("outcome"),
            fact("priority"),
            fact("completed_at", read_only=True),
            fact("counts_as_touch"),
            *_RELATED,
            *RECORD_FACTS,
        ),
        internal=RECORD_INTERNAL | {"search_vector"},
        writes=Writes(
            operations.create_activities,
            operations.update_activities,
            operations.delete_activities,
            operations.restore_activities,
            judge=operations.judge_activities,
        ),
        title=("subject",),
        ordering="-start_at",
        visible_through=_THROUGH,
        events={"completed": became("status", "held"), "canceled": became("status", "canceled")},
    )
)


ACTIVITY_PARTICIPANT = register(
    Entity(
        name="activity_participant",
        plural="activity_participants",
        description="Who takes part in activities.",
        nested=(Nested("activity", "participants", with_records=True),),
        model_label="crm.ActivityParticipant",
        facts=(
            fact("activity"),
            fact("kind", description="Which of the four below is given; it may be left out."),
            fact("user"),
            fact("contact"),
            fact("lead"),
            fact("email", kind=Kind.EMAIL, pii=True),
            fact("response"),
            fact("is_organizer"),
        ),
        writes=Writes(
            operations.create_activity_participants,
            operations.update_activity_participants,
            operations.delete_activity_participants,
            judge=operations.judge_activity_participants,
        ),
        title=("kind",),
        visible_through=("activity",),
    )
)


_TODAY = (
    "(now() AT TIME ZONE (SELECT its_company.timezone FROM core_company its_company "
    "WHERE its_company.id = {t}.company_id))::date"
)


TASK = register(
    Entity(
        name="task",
        plural="tasks",
        description="Things to do.",
        model_label="crm.Task",
        facts=(
            fact("subject", meaning="name", search="A"),
            fact("description", search="D"),
            fact("type"),
            fact("status", meaning="status"),
            fact("priority"),
            fact("start_date"),
            fact("due_date", meaning="due_date"),
            fact("due_at"),
            fact("reminder_at"),
            fact("completed_at", read_only=True),
            fact(
                "is_overdue",
                kind=Kind.BOOLEAN,
                sql="coalesce({t}.status NOT IN ('completed', 'canceled') "
                f"AND ({{t}}.due_at < now() OR {{t}}.due_date < {_TODAY}), false)",
                description="Past its moment, or its day in the company's time zone, and not done.",
            ),
            *_RELATED,
            *RECORD_FACTS,
        ),
        internal=RECORD_INTERNAL | {"search_vector"},
        writes=Writes(
            operations.create_tasks,
            operations.update_tasks,
            operations.delete_tasks,
            operations.restore_tasks,
            judge=operations.judge_tasks,
        ),
        title=("subject",),
        visible_through=_THROUGH,
        events={"completed": became("status", "completed"), "assigned": changed_field("owner")},
    )
)


NOTE = register(
    Entity(
        name="note",
        plural="notes",
        description="Notes in Markdown.",
        model_label="crm.Note",
        facts=(
            fact("title", meaning="name", search="A"),
            fact("body", search="D", description="Markdown."),
            fact("body_html", read_only=True, filterable=False, description="The body as sanitized HTML."),
            fact("is_pinned"),
            fact("edited_at", read_only=True),
            *_RELATED,
            *RECORD_FACTS,
        ),
        internal=RECORD_INTERNAL | {"search_vector"},
        writes=Writes(
            operations.create_notes,
            operations.update_notes,
            operations.delete_notes,
            operations.restore_notes,
            judge=operations.judge_notes,
        ),
        title=("title",),
        visible_through=_THROUGH,
    )
)
