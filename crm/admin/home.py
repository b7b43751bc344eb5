"""The CRM on the home page: figures, the open pipeline, what is mine to do, what happened."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, QuerySet, Sum
from django.utils import timezone
from django.utils.html import format_html

from core.access import EntityView, view
from core.backoffice.home import FIGURES, PANELS, Figure, Line, Panel
from core.backoffice.values import (
    attach_names,
    list_url,
    record_url,
    show_date,
    show_moment,
    show_money,
    show_number,
)
from core.entities import entities
from core.rest.listing import count_of
from core.tenancy.actors import Actor
from crm.admin.records import OPEN_TASKS
from crm.models import PipelineStage
from crm.models.choices import LEAD_STATUS_TYPES, LeadStatusType

LINES_SHOWN = 7
# What an activity is about, the most telling first.
ABOUT = ("deal", "account", "lead", "contact")
DUE_WITHIN = timedelta(days=7)
DUE_FIELDS = ("owner", "status", "due_date")
_LIVE = (LeadStatusType.OPEN, LeadStatusType.ONGOING, LeadStatusType.ON_HOLD)
LIVE_LEADS = tuple(status.value for status, kind in LEAD_STATUS_TYPES.items() if kind in _LIVE)


def _url(entity: str, **filters: Any) -> str:
    query = urlencode(filters)
    return f"{list_url(entities[entity])}{'?' if query else ''}{query}"


def _counted(queryset: QuerySet[Any]) -> str:
    count, exact = count_of(queryset)
    return show_number(count) if exact else f"about {show_number(count)}"


def _money(sums: dict[str, Decimal]) -> str:
    """Sums by currency, the largest first."""
    shown = sorted(sums.items(), key=lambda item: -item[1])[:2]
    return " + ".join(show_money(round(amount), currency) for currency, amount in shown) or show_number(0)


def _sums(queryset: QuerySet[Any]) -> dict[str, Decimal]:
    rows = queryset.order_by().values_list("currency").annotate(total=Sum("amount"))
    return {currency: total for currency, total in rows if total}


def counts(actor: Actor) -> Sequence[Figure]:
    """How many live leads, accounts, contacts and open deals the person sees."""
    wanted: Sequence[tuple[str, str, str, dict[str, Any], dict[str, Any]]] = (
        (
            "lead",
            "Live leads",
            "person_search",
            {"status__in": ",".join(LIVE_LEADS)},
            {"status__in": LIVE_LEADS},
        ),
        ("account", "Accounts", "business", {}, {}),
        ("contact", "Contacts", "contacts", {}, {}),
        ("deal", "Open deals", "handshake", {"status": "open"}, {"status": "open"}),
    )
    return [
        Figure(label, _counted(seen.records().filter(**where)), _url(entity, **filters), icon)
        for entity, label, icon, filters, where in wanted
        if (seen := view(entity, actor)).can_ask(*(name.partition("__")[0] for name in where))
    ]


def won(actor: Actor) -> Sequence[Figure]:
    """What was won this month, against the month before."""
    seen = view("deal", actor)
    if not seen.can_ask("status", "closed_at", "amount", "currency"):
        return []
    first = timezone.localdate().replace(day=1)
    before = (first - timedelta(days=1)).replace(day=1)
    now_won, then_won = _won_between(seen.records(), first, None), _won_between(seen.records(), before, first)
    current, previous = sum(now_won.values(), Decimal(0)), sum(then_won.values(), Decimal(0))
    note, is_good = "Nothing last month", None
    if previous and len(now_won.keys() | then_won.keys()) == 1:
        change = (current - previous) / previous * 100
        note, is_good = f"{change:+.0f} % against last month", change >= 0
    elif previous:
        note = f"Last month {_money(then_won)}"
    url = _url("deal", status="won", closed_at__gte=first.isoformat())
    return [Figure("Won this month", _money(now_won), url, "emoji_events", note, is_good)]


def _won_between(deals: QuerySet[Any], first: date, until: date | None) -> dict[str, Decimal]:
    zone = timezone.get_current_timezone()

    def midnight(day: date) -> datetime:
        return datetime.combine(day, time.min, zone)

    found = deals.filter(status="won", closed_at__gte=midnight(first))
    return _sums(found.filter(closed_at__lt=midnight(until)) if until else found)


def pipeline(actor: Actor) -> Panel | None:
    """Open deals by stage, in the order of selling."""
    seen = view("deal", actor)
    if not seen.can_ask("status", "stage", "amount", "currency"):
        return None
    rows = list(
        seen.records()
        .filter(status="open")
        .order_by()
        .values("stage_id", "currency")
        .annotate(deals=Count("pk"), total=Sum("amount"))
    )
    ids = {row["stage_id"] for row in rows}
    stages = {
        stage.pk: (place, stage)
        for place, stage in enumerate(
            PipelineStage.objects.filter(pk__in=ids)
            .order_by("pipeline__order", "pipeline_id", "order")
            .select_related("pipeline")
        )
    }
    # Stages of several pipelines may share a name.
    is_alone = len({stage.pipeline_id for _, stage in stages.values()}) == 1
    names = {
        key: stage.name if is_alone else f"{stage.pipeline.name}: {stage.name}"
        for key, (_, stage) in stages.items()
    }
    rows.sort(key=lambda row: (stages[row["stage_id"]][0], row["currency"]))
    values = [
        {
            "stage": names[row["stage_id"]],
            "amount": float(row["total"]),
            "currency": row["currency"],
            "deals": row["deals"],
        }
        for row in rows
    ]
    order = list(dict.fromkeys(item["stage"] for item in values))
    encoding: dict[str, Any] = {
        "y": {"field": "stage", "type": "nominal", "sort": order, "title": None, "axis": {"labelLimit": 160}},
        "x": {"field": "amount", "type": "quantitative", "title": "Amount", "axis": {"format": "~s", "tickCount": 5}},
        "tooltip": [{"field": "stage"}, {"field": "deals"}, {"field": "amount", "format": ",.0f"}, {"field": "currency"}],
    }  # fmt: skip
    if len({item["currency"] for item in values}) > 1:
        encoding["color"] = {"field": "currency", "type": "nominal", "title": "Currency"}
    chart = {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": "container",
        "height": 36 * len(order),
        "data": {"values": values},
        "mark": {"type": "bar", "cornerRadiusEnd": 3},
        "encoding": encoding,
    }
    return Panel(
        "Open pipeline by stage",
        _url("deal", status="open"),
        "All open deals",
        chart,
        ("Stage", "Deals", "Amount"),
        [
            (
                _url("deal", status="open", stage=row["stage_id"]),
                (
                    names[row["stage_id"]],
                    show_number(row["deals"]),
                    show_money(row["total"], row["currency"]),
                ),
            )
            for row in rows
        ],
        empty="No open deals.",
        is_wide=True,
        position=10,
    )


def _due(actor: Actor, seen: EntityView) -> tuple[QuerySet[Any], str]:
    """The person's open tasks of the next days and those that are late, and the list that shows them."""
    last = timezone.localdate() + DUE_WITHIN
    tasks = seen.records().filter(owner=actor.user_id, status__in=OPEN_TASKS, due_date__lte=last)
    return tasks, _url("task", owner=actor.user_id, status__in=",".join(OPEN_TASKS), due_date__lte=last)


def tasks_due(actor: Actor) -> Sequence[Figure]:
    """How much the person has to do within a week, and how much of it is late."""
    seen = view("task", actor)
    if not seen.can_ask(*DUE_FIELDS) or actor.user_id is None:
        return []
    due, url = _due(actor, seen)
    late = due.filter(due_date__lt=timezone.localdate()).count()
    note, is_good = (f"{show_number(late)} late", False) if late else ("None is late", None)
    return [Figure("My tasks due", _counted(due), url, "checklist", note, is_good)]


def my_tasks(actor: Actor) -> Panel | None:
    """What the person has to do, the most urgent first."""
    seen = view("task", actor)
    if not seen.can_ask("subject", *DUE_FIELDS) or actor.user_id is None:
        return None
    today = timezone.localdate()
    due, url = _due(actor, seen)
    due = due.order_by("due_date", "pk").only("pk", "subject", "due_date")[:LINES_SHOWN]
    return Panel(
        "My tasks due",
        url,
        "All that are due",
        lines=[
            Line(
                task.subject,
                record_url(seen.entity, task.pk),
                "today" if task.due_date == today else show_date(task.due_date),
                task.due_date < today,
            )
            for task in due
        ],
        empty="Nothing is due in the next seven days.",
        position=20,
    )


def recent_activity(actor: Actor) -> Panel | None:
    """The last calls, mails and meetings the person sees."""
    seen = view("activity", actor)
    if not seen.can_ask("start_at", "subject", "type"):
        return None
    rows = list(
        seen.records()
        .filter(start_at__lte=timezone.now())
        .order_by("-start_at", "-pk")
        .only("pk", "subject", "type", "start_at", *(f"{name}_id" for name in ABOUT))[:LINES_SHOWN]
    )
    attach_names(seen, rows, [seen.askable[name] for name in ABOUT if name in seen.askable])

    def about(row: Any) -> str:
        names = (row.related_names.get(name) for name in ABOUT)
        return next((name for name in names if name), "")

    return Panel(
        "Recent activity",
        _url("activity"),
        "All activities",
        lines=[
            Line(
                f"{row.get_type_display()}: {row.subject}",
                record_url(seen.entity, row.pk),
                format_html("{} · {}", about(row), show_moment(row.start_at))
                if about(row)
                else show_moment(row.start_at),
            )
            for row in rows
        ],
        empty="No calls, mails or meetings yet.",
        position=30,
    )


FIGURES.register("crm.counts", counts)
FIGURES.register("crm.won", won)
FIGURES.register("crm.tasks", tasks_due)
PANELS.register("crm.pipeline", pipeline)
PANELS.register("crm.tasks", my_tasks)
PANELS.register("crm.activity", recent_activity)
