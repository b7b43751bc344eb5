"""The questions that compliance people ask, each answered by tables of counts and of entries. Values of records are in none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Count, Max, Min, Q, QuerySet
from django.db.models.functions import TruncDay

from audit.documents import entry_documents
from audit.models import AuditPolicy
from audit.queries import entries
from audit.reading import LogReader
from core.changes.ddl import ROW_ACTIONS
from core.entities import entities
from core.identity.models import ApiKey, Membership, Person, Role
from core.kernel.registry import Registry
from core.render import CellType, Column, Document, Table
from core.tenancy.actors import Actor

# A report lists no more entries; an export has them all.
MOST_LISTED = 1_000
MOST_COUNTED = 200
FAILURES = ("login_failed", "permission_denied", "refresh_reused")
# Kinds that decide who may do what, beside the entities that only a permission word lets one change.
_RIGHTS = ("role", "membership", "invitation", "api_key", "user", "company")


@dataclass(frozen=True)
class Question:
    """The time a report is about, `until` excluded, and the record where it is about one."""

    since: datetime
    until: datetime
    subject_type: str = ""
    subject_id: UUID | None = None


Answer = Callable[[Actor, Question], list[Table]]


@dataclass(frozen=True)
class Report:
    name: str
    label: str
    description: str
    answer: Answer
    has_subject: bool = False


REPORTS: Registry[Report] = Registry("compliance report")


def report_document(
    actor: Actor, report_type: str, title: str, question: Question, *, by: str, company: str, now: datetime
) -> Document:
    """The answer, with rows that are read already. Raises: Forbidden."""
    report = REPORTS[report_type]
    zone = ZoneInfo(actor.zone)
    parameters = [
        ("Report", report.label),
        ("From", question.since.astimezone(zone).isoformat(timespec="minutes")),
        ("Until", question.until.astimezone(zone).isoformat(timespec="minutes")),
    ]
    if report.has_subject:
        parameters.append(("About", f"{question.subject_type} {question.subject_id}"))
    return Document(
        title=title,
        subtitle=report.description,
        parts=report.answer(actor, question),
        parameters=parameters,
        generated_at=now,
        generated_by=by,
        company=company,
        zone=zone,
    )


# --- parts of reports ----------------------------------------------------------------------------------------------


def _text(name: str, label: str) -> Column:
    return Column(name, label)


def _number(name: str, label: str) -> Column:
    return Column(name, label, CellType.INTEGER)


def _moment(name: str, label: str) -> Column:
    return Column(name, label, CellType.DATETIME)


def _in_period(actor: Actor, question: Question) -> QuerySet[Any]:
    return entries(actor).filter(at__gte=question.since, at__lt=question.until)


def _counted(found: QuerySet[Any], name: str, title: str, columns: Sequence[tuple[str, str, str]]) -> Table:
    """How many entries there are of each combination: (name, label, lookup) of each column."""
    lookups = [lookup for _, _, lookup in columns]
    rows = found.values_list(*lookups).annotate(number=Count("pk")).order_by("-number", *lookups)
    shown = [_text(column, label) for column, label, _ in columns]
    return Table(
        title,
        [*shown, _number("count", "Entries")],
        [
            [*("" if cell is None else str(cell) for cell in row[:-1]), row[-1]]
            for row in rows[: MOST_COUNTED + 1]
        ],
        name=name,
        limit=MOST_COUNTED,
    )


def _by_user(actor: Actor, found: QuerySet[Any], name: str = "by_user") -> Table:
    rows = list(
        found.values_list("context__actor_id")
        .annotate(number=Count("pk"), last=Max("at"))
        .order_by("-number")[: MOST_COUNTED + 1]
    )
    names = LogReader(actor).names(("user", user) for user, _, _ in rows if user)
    return Table(
        "By user",
        [
            _text("user", "User id"),
            _text("name", "Name"),
            _number("count", "Entries"),
            _moment("last", "Last"),
        ],
        [
            [
                str(user or ""),
                names.get(("user", user), "Somebody who has left") if user else "The system",
                number,
                last,
            ]
            for user, number, last in rows
        ],
        name=name,
        limit=MOST_COUNTED,
    )


def _by_day(actor: Actor, found: QuerySet[Any]) -> Table:
    rows = (
        found.annotate(day=TruncDay("at", tzinfo=ZoneInfo(actor.zone)))
        .values_list("day")
        .annotate(number=Count("pk"))
        .order_by("day")
    )
    return Table(
        "By day",
        [Column("day", "Day", CellType.DATE), _number("count", "Entries")],
        [[day.date(), number] for day, number in rows[: MOST_COUNTED + 1]],
        name="by_day",
        limit=MOST_COUNTED,
    )


_LISTED = (
    _number("id", "Entry"),
    _moment("at", "Time"),
    _text("user_name", "User"),
    _text("action", "Action"),
    _text("entity_type", "Kind"),
    _text("entity_id", "Record"),
    _text("entity_name", "Name"),
    Column("changed_fields", "Changed fields", CellType.LIST),
    _text("source", "Source"),
    _text("ip", "IP address"),
)


def _listed(actor: Actor, found: QuerySet[Any], name: str, title: str) -> Table:
    """The newest of the entries, without values."""
    documents = entry_documents(actor, list(found.order_by("-pk")[: MOST_LISTED + 1]))
    rows = [[getattr(document, column.name) for column in _LISTED] for document in documents]
    return Table(title, _LISTED, rows, name=name, limit=MOST_LISTED)


def _of_rights() -> frozenset[str]:
    return frozenset({*_RIGHTS, *(entity.name for entity in entities if entity.guarded_by)})


# --- the reports ---------------------------------------------------------------------------------------------------


def _access_review(actor: Actor, question: Question) -> list[Table]:
    logins = dict(Membership.objects.values_list("user_id", "last_login"))
    keys = list(ApiKey.objects.filter(revoked_at=None).order_by("name"))
    owned: dict[Any, int] = {}
    for key in keys:
        owned[key.user_id] = owned.get(key.user_id, 0) + 1
    people = list(Person.objects.select_related("role").order_by("full_name", "email"))
    names = {person.pk: person.full_name or person.email for person in people}
    held: dict[Any, int] = {}
    for person in people:
        held[person.role_id] = held.get(person.role_id, 0) + bool(person.is_active)
    changes = _in_period(actor, question).filter(entity_type__in=_RIGHTS)
    return [
        Table(
            "Members",
            [
                _text("name", "Name"),
                _text("email", "Email"),
                _text("role", "Role"),
                _text("record_scope", "Sees records"),
                Column("is_active", "Active", CellType.BOOLEAN),
                _moment("last_login", "Last sign-in"),
                _number("api_keys", "API keys"),
            ],
            [
                [
                    person.full_name,
                    person.email,
                    person.role.name,
                    person.role.record_scope,
                    person.is_active,
                    logins.get(person.pk),
                    owned.get(person.pk, 0),
                ]
                for person in people
            ],
            name="members",
        ),
        Table(
            "Roles",
            [
                _text("name", "Name"),
                Column("permissions", "Permissions", CellType.LIST),
                _text("record_scope", "Sees records"),
                _number("members", "Active members"),
            ],
            [
                [role.name, role.permissions, role.record_scope, held.get(role.pk, 0)]
                for role in Role.objects.order_by("name")
            ],
            name="roles",
        ),
        Table(
            "API keys",
            [
                _text("name", "Name"),
                _text("owner", "Owner"),
                Column("scopes", "Scopes", CellType.LIST),
                _moment("created_at", "Made"),
                _moment("last_used_at", "Last used"),
                _moment("expires_at", "Expires"),
            ],
            [
                [
                    key.name,
                    names.get(key.user_id, ""),
                    key.scopes,
                    key.created_at,
                    key.last_used_at,
                    key.expires_at,
                ]
                for key in keys
            ],
            name="api_keys",
        ),
        _listed(actor, changes, "changes", "Changes of access"),
    ]


def _data_changes(actor: Actor, question: Question) -> list[Table]:
    found = _in_period(actor, question).filter(action__in=ROW_ACTIONS)
    return [
        _counted(
            found,
            "by_kind",
            "By kind of record",
            (("entity_type", "Kind", "entity_type"), ("action", "Action", "action")),
        ),
        _by_user(actor, found),
        _counted(found, "by_source", "By source", (("source", "Source", "context__source"),)),
        _by_day(actor, found),
    ]


def _privileged_activity(actor: Actor, question: Question) -> list[Table]:
    powerful = Q(entity_type__in=_of_rights())
    impersonated = Q(context__impersonator_id__isnull=False)
    facts = ~Q(action__in=[*ROW_ACTIONS, "login", "logout", *FAILURES])
    beside_the_api = Q(context__source__in=["shell", "sql"])
    found = _in_period(actor, question).filter(powerful | impersonated | facts | beside_the_api)
    return [
        _counted(
            found,
            "by_action",
            "By action",
            (("entity_type", "Kind", "entity_type"), ("action", "Action", "action")),
        ),
        _by_user(actor, found),
        _listed(actor, found, "entries", "Entries"),
    ]


def _failed_logins(actor: Actor, question: Question) -> list[Table]:
    found = _in_period(actor, question).filter(action__in=FAILURES)
    return [
        _counted(
            found,
            "by_account",
            "By account",
            (("account", "Account", "entity_name"), ("action", "Action", "action")),
        ),
        _counted(
            found,
            "by_address",
            "By address",
            (("ip", "IP address", "context__ip"), ("action", "Action", "action")),
        ),
        _by_day(actor, found),
        _listed(actor, found, "entries", "Entries"),
    ]


def _retention(actor: Actor, question: Question) -> list[Table]:
    kept = (
        entries(actor)
        .values_list("entity_type")
        .annotate(number=Count("pk"), oldest=Min("at"), newest=Max("at"))
        .order_by("entity_type")
    )
    removed = _in_period(actor, question).filter(Q(action="delete") | Q(action__startswith="retention"))
    return [
        Table(
            "Policies",
            [
                _text("name", "Name"),
                Column("is_active", "Active", CellType.BOOLEAN),
                Column("entities", "Kinds of records", CellType.LIST),
                Column("actions", "Actions", CellType.LIST),
                _number("retention_days", "Kept for days"),
            ],
            [
                [
                    policy.name,
                    policy.is_active,
                    policy.applies_to_entities,
                    policy.applies_to_actions,
                    policy.retention_days,
                ]
                for policy in AuditPolicy.objects.order_by("name")
            ],
            name="policies",
        ),
        Table(
            "What the change log holds",
            [
                _text("entity_type", "Kind"),
                _number("count", "Entries"),
                _moment("oldest", "Oldest"),
                _moment("newest", "Newest"),
            ],
            [list(row) for row in kept],
            name="held",
        ),
        _counted(
            removed,
            "removed",
            "Removed in the period",
            (("entity_type", "Kind", "entity_type"), ("action", "Action", "action")),
        ),
    ]


def _data_subject_activity(actor: Actor, question: Question) -> list[Table]:
    about = Q(entity_type=question.subject_type, entity_id=question.subject_id)
    if question.subject_type == "user":
        about |= Q(context__actor_id=question.subject_id)
    found = _in_period(actor, question).filter(about)
    return [
        _counted(found, "by_action", "By action", (("action", "Action", "action"),)),
        _by_user(actor, found),
        _listed(actor, found, "entries", "Entries"),
    ]


for _report in (
    Report(
        "access_review",
        "Access review",
        "Who may do what today, and which accesses changed in the period.",
        _access_review,
    ),
    Report(
        "data_changes",
        "Data changes",
        "How many records were made, changed and deleted, by whom.",
        _data_changes,
    ),
    Report(
        "privileged_activity",
        "Privileged activity",
        "Changes of rights and settings, exports, actions in somebody else's name.",
        _privileged_activity,
    ),
    Report(
        "failed_logins",
        "Failed sign-ins",
        "Sign-ins that failed, requests that were refused.",
        _failed_logins,
    ),
    Report(
        "retention",
        "Retention",
        "What has to be kept, what the change log holds, and what was removed.",
        _retention,
    ),
    Report(
        "data_subject_activity",
        "Data subject activity",
        "Everything that happened to the record of one person, and who did it.",
        _data_subject_activity,
        has_subject=True,
    ),
):
    REPORTS.register(_report.name, _report)
