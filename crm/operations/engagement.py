"""Writes of activities, tasks and notes."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import nh3
from markdown_it import MarkdownIt

from core.changes import Judged, Outcome, Rows, Rule, WriteSpec
from core.changes.gates import Verb
from core.changes.rules import PlainOperations, fixed
from core.tenancy.actors import Actor
from core.tenancy.postgresql.base import database
from crm.models import Activity, ActivityParticipant, Note, Task
from crm.operations.records import RecordOperations, record_spec

_START = "coalesce(n.start_at, o.start_at, %(now)s::timestamptz)"
_MINUTES = f"round(extract(epoch FROM n.end_at - {_START}) / 60)::int"


def _touch(table: str, reference: str, column: str) -> str:
    """The related records of held activities remember the latest touch; that is bookkeeping, not a new version."""
    return f"""
UPDATE {table} t SET {column} = w.at
FROM (SELECT new_{reference}_id AS id, max(least(new_start_at, %(now)s::timestamptz)) AS at FROM written
  WHERE new_status = 'held' AND new_counts_as_touch AND new_{reference}_id IS NOT NULL GROUP BY 1) w
WHERE t.company_id = %(company)s::uuid AND t.id = w.id AND coalesce(t.{column} < w.at, true)
"""


ACTIVITIES = RecordOperations(
    record_spec(
        Activity,
        derive={
            "start_at": _START,
            "duration_minutes": f"CASE WHEN g.end_at AND NOT g.duration_minutes THEN {_MINUTES} "
            "ELSE n.duration_minutes END",
            # A moved start takes the end along.
            "end_at": "CASE WHEN g.end_at AND n.end_at IS NOT NULL THEN n.end_at "
            f"ELSE {_START} + make_interval(mins => n.duration_minutes) END",
            "completed_at": "CASE WHEN n.status = 'held' THEN coalesce(o.completed_at, %(now)s::timestamptz) END",
        },
        rules=(
            Rule(
                "inconsistent",
                "duration_minutes",
                "The duration is not the time between start and end.",
                f"n.end_at >= n.start_at AND n.duration_minutes IS DISTINCT FROM {_MINUTES}",
            ),
        ),
        also={
            "touched_accounts": _touch("crm_account", "account", "last_activity_at"),
            "touched_contacts": _touch("crm_contact", "contact", "last_contacted_at"),
            "touched_leads": _touch("crm_lead", "lead", "last_activity_at"),
            "touched_deals": _touch("crm_deal", "deal", "last_activity_at"),
        },
    )
)

_PARTICIPANT = WriteSpec(
    ActivityParticipant,
    derive={
        "kind": "coalesce(CASE WHEN g.kind THEN nullif(n.kind, '') END, CASE WHEN n.user_id IS NOT NULL THEN 'user' "
        "WHEN n.contact_id IS NOT NULL THEN 'contact' WHEN n.lead_id IS NOT NULL THEN 'lead' "
        "WHEN n.email <> '' THEN 'email' ELSE '' END)"
    },
    rules=(fixed("activity_id", "activity", "A participant stays with the activity."),),
)
PARTICIPANTS = PlainOperations(_PARTICIPANT, _PARTICIPANT, WriteSpec(ActivityParticipant))

_ZONE = "(SELECT c.timezone FROM core_company c WHERE c.id = %(company)s::uuid)"
_LOCAL_DAY = f"(n.due_at AT TIME ZONE {_ZONE})::date"
# A new day without a new moment takes the old moment away.
_DAY_ALONE = "g.due_date AND NOT g.due_at AND n.due_date IS DISTINCT FROM o.due_date"

TASKS = RecordOperations(
    record_spec(
        Task,
        derive={
            "due_at": f"CASE WHEN {_DAY_ALONE} THEN NULL ELSE n.due_at END",
            "due_date": f"CASE WHEN {_DAY_ALONE} OR n.due_at IS NULL "
            "OR (g.due_date AND n.due_date IS NOT NULL AND n.due_date IS DISTINCT FROM o.due_date) "
            f"THEN n.due_date ELSE {_LOCAL_DAY} END",
            "completed_at": "CASE WHEN n.status = 'completed' "
            "THEN CASE WHEN o.status = 'completed' THEN o.completed_at ELSE %(now)s::timestamptz END END",
        },
        rules=(
            Rule(
                "inconsistent",
                "due_date",
                "The day and the moment differ; give one of them.",
                f"n.due_at IS NOT NULL AND n.due_date <> {_LOCAL_DAY}",
            ),
        ),
    )
)

_NOTE_OPERATIONS = RecordOperations(
    record_spec(
        Note,
        derive={
            "edited_at": "CASE WHEN o.id IS NOT NULL AND (n.body, n.title) IS DISTINCT FROM (o.body, o.title) "
            "THEN %(now)s::timestamptz ELSE o.edited_at END",
        },
        # No constraint of the table: a note outlives the records it was about.
        rules=(
            Rule(
                "required",
                "account",
                "A note needs an account, contact, lead or deal.",
                "num_nonnulls(n.account_id, n.contact_id, n.lead_id, n.deal_id) = 0",
            ),
        ),
    )
)

_markdown = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(["table", "strikethrough"])


def render_markdown(text: str) -> str:
    """Sanitized HTML of a Markdown text."""
    return nh3.clean(_markdown.render(text), link_rel="noopener noreferrer nofollow")


def _with_html(rows: Rows) -> Rows:
    """The rows with `body_html` beside each body they give."""
    if "body" not in rows.columns:
        return rows
    given = database().fetch_prepared(
        f"SELECT r.ord, r.body FROM ({rows.sql}) r WHERE r.body IS NOT NULL", rows.params
    )
    rendered = json.dumps([{"place": place, "html": render_markdown(body)} for place, body in given])
    columns = ", ".join(f'b."{name}"' for name in rows.columns)
    version = ", b.expected_version" if rows.has_expected_version else ""
    # A sparse row says in `doc` which columns it sets.
    document = (
        ", CASE WHEN b.doc ? 'body' THEN b.doc || '{\"body_html\": \"\"}'::jsonb ELSE b.doc END AS doc"
        if rows.sparse
        else ""
    )
    return Rows(
        f"SELECT b.ord, b.id{version}, {columns}, h.html AS body_html{document} "
        f"FROM ({rows.sql}) b LEFT JOIN jsonb_to_recordset(%s::jsonb) AS h(place int, html text) ON h.place = b.ord",
        (*rows.params, rendered),
        (*rows.columns, "body_html"),
        rows.count,
        rows.has_expected_version,
        rows.sparse,
    )


def create_notes(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """New notes; their HTML is rendered here. Needs a transaction."""
    return _NOTE_OPERATIONS.create(actor=actor, rows=_with_html(rows), now=now, all_or_none=all_or_none)


def update_notes(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Change notes. Needs a transaction."""
    return _NOTE_OPERATIONS.update(actor=actor, rows=_with_html(rows), now=now, all_or_none=all_or_none)


def judge_notes(verb: Verb, *, rows: Rows, **options: Any) -> dict[int, Judged]:
    """What the operation of that verb would do with notes; `options` of `core.changes.judge`. Needs a transaction."""
    return _NOTE_OPERATIONS.judge(verb, rows=_with_html(rows), **options)


create_activities, update_activities = ACTIVITIES.create, ACTIVITIES.update
delete_activities, restore_activities = ACTIVITIES.delete, ACTIVITIES.restore
judge_activities, judge_activity_participants, judge_tasks = ACTIVITIES.judge, PARTICIPANTS.judge, TASKS.judge
create_activity_participants, update_activity_participants = PARTICIPANTS.create, PARTICIPANTS.update
delete_activity_participants = PARTICIPANTS.delete
create_tasks, update_tasks = TASKS.create, TASKS.update
delete_tasks, restore_tasks = TASKS.delete, TASKS.restore
delete_notes, restore_notes = _NOTE_OPERATIONS.delete, _NOTE_OPERATIONS.restore
