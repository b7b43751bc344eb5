"""Territories in the back office: the tree with its figures, moving with the effect shown first, members, rules, tester."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from core.access import view
from core.access.actions import perform
from core.backoffice.entity_admin import EntityAdmin
from core.backoffice.inlines import EntityInline
from core.backoffice.site import BackOfficeSite, Page
from core.backoffice.values import record_url, show_money, show_number
from core.backoffice.writing import actor_of
from core.conditions.periods import Relative
from core.entities import entities
from core.identity.queries import get_company
from core.kernel.errors import DomainError, NotFound
from core.tenancy.actors import Actor
from territories.explaining import explain_record
from territories.metrics import Node, add_figures, forest
from territories.models import Territory, TerritoryMember, TerritoryRule
from territories.queries import scoped_entities
from territories.registries import METRICS, Span
from territories.rights import MANAGE_TERRITORIES

# Levels of the tree that are shown at once, and the figures beside each territory, as far as there are such.
LEVELS = 2
FIGURES = ("accounts", "leads", "open_deals", "pipeline_amount", "won_amount")
PERIOD = "this_year"
MAX_ROWS = 500


class MemberInline(EntityInline):
    model = TerritoryMember
    fields_written = ("user", "role", "effective_from", "effective_to")


@admin.register(Territory)
class TerritoryAdmin(EntityAdmin):
    section, icon, position = "Setup", "account_tree", 40
    columns = ("name", "code", "hierarchy_path", "type", "manager", "is_active")
    filters = ("type", "parent_territory", "manager", "is_active", "hierarchy_level")
    key_facts = ("code", "hierarchy_path", "type", "manager", "is_active")
    groups = (
        ("Territory", ("name", "code", "type", "parent_territory", "manager", "is_active")),
        ("Sharing", ("share_with_parent", "share_with_children", "recursive_sharing", "rollup_metrics")),
        ("Dates", ("effective_from", "effective_to")),
        ("Description", ("description", "slug")),
    )
    lines = (MemberInline,)
    related = (
        "territory.parent_territory",
        "territory_rule.territory",
        "account.territory",
        "lead.territory",
    )

    def extra_urls(self, named: Any) -> list[Any]:
        return [
            named("<uuid:record_id>/place/", self.place_view, "place"),
        ]

    def place_view(self, request: HttpRequest, record_id: UUID) -> HttpResponse:
        """Move a territory: choose the new parent, see what that does, confirm."""
        actor = actor_of(request)
        seen = view("territory", actor)
        if not seen.can("update"):
            raise Http404
        territory: Territory = self.get_record(request, str(record_id), "update")
        below = territory.get_all_children(include_self=True)
        others = seen.records().exclude(pk__in=below.order_by().values("pk")).order_by("hierarchy_path")
        chosen = request.POST.get("to", request.GET.get("to"))
        target, fault = _chosen(others, chosen)
        if request.method == "POST" and not fault:
            document = {"parent_territory": str(target.pk) if target else None}
            try:
                perform(seen, "move", territory.pk, document, now=timezone.now())
            except DomainError as refusal:
                fault = refusal.detail
            else:
                where = f"under {target}" if target else "to the top"
                messages.success(request, f"{territory} was moved {where}.")
                return HttpResponseRedirect(reverse("admin:territory_tree"))
        path = f"{target.hierarchy_path if target else '/'}{territory.slug}/"
        context = {
            **self.admin_site.each_context(request),
            "title": f"Move {territory}",
            "territory": territory,
            "options": list(others[:MAX_ROWS].only("pk", "name", "hierarchy_path")),
            "chosen": str(target.pk) if target else "",
            "is_chosen": chosen is not None and not fault,
            "fault": fault,
            "below": below.count() - 1,
            "counts": [
                (entity.label_plural, records.count())
                for entity in scoped_entities()
                if view(entity, actor).can_ask("territory")
                and (
                    records := view(entity, actor)
                    .records()
                    .filter(territory__in=below.order_by().values("pk"))
                )
            ],
            "new_path": path,
        }
        return TemplateResponse(request, "backoffice/territory_place.html", context)


@admin.register(TerritoryRule)
class TerritoryRuleAdmin(EntityAdmin):
    section, icon, position = "Setup", "rule", 42
    in_navigation = False
    columns = ("name", "territory", "entity_type", "priority", "owner_choice", "is_active")
    filters = ("territory", "owner_choice", "is_active")
    groups = (
        ("Rule", ("name", "territory", "entity_type", "condition", "priority", "owner_choice", "is_active")),
    )


@admin.register(TerritoryMember)
class TerritoryMemberAdmin(EntityAdmin):
    section, icon, position = "Setup", "group", 41
    in_navigation = False
    columns = ("user", "territory", "role", "effective_from", "effective_to")
    filters = ("territory", "user", "role")


@dataclass(frozen=True)
class _Row:
    """One line of the tree's table."""

    territory: Territory
    url: str
    indent: int
    below: int
    is_cut: bool
    figures: list[tuple[str, str]]


def tree_view(request: HttpRequest) -> HttpResponse:
    """The tree, two levels at a time, with rolled-up figures."""
    actor = actor_of(request)
    if not view("territory", actor).can("read"):
        raise Http404
    root, _ = _chosen(view("territory", actor).records(), request.GET.get("root"))
    found = root.get_all_children(include_self=True) if root else Territory.objects.order_by("hierarchy_path")
    roots = forest(found)
    period = Relative(PERIOD)
    start, end = period.moments(timezone.now(), ZoneInfo(actor.zone))
    span = Span(start, end, get_company(actor).default_currency)
    add_figures(actor, roots, span)
    shown = [METRICS[name] for name in FIGURES if name in METRICS]
    rows = list(_rows(actor, roots, span))
    context = {
        **admin.site.each_context(request),
        "title": "Territory tree",
        "root": root,
        "up": root.parent_territory_id if root else None,
        "labels": [metric.label for metric in shown],
        "rows": rows[:MAX_ROWS],
        "is_cut": len(rows) > MAX_ROWS,
        "may_move": view("territory", actor).can("update"),
        "may_test": actor.rights.can(MANAGE_TERRITORIES),
    }
    return TemplateResponse(request, "backoffice/territory_tree.html", context)


def test_view(request: HttpRequest) -> HttpResponse:
    """Which rule decides about a record, and why the others do not."""
    actor = actor_of(request)
    if not actor.rights.can(MANAGE_TERRITORIES):
        raise Http404
    kinds = [entity for entity in scoped_entities() if view(entity, actor).can("read")]
    kind, text = request.GET.get("kind", ""), request.GET.get("record", "").strip()
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": "Test the rules",
        "kinds": [(entity.name, entity.noun.capitalize()) for entity in kinds],
        "kind": kind,
        "record": text,
    }
    if text and kind in {entity.name for entity in kinds}:
        try:
            found = explain_record(actor, kind, UUID(text.rstrip("/").rpartition("/")[2]), now=timezone.now())
        except (ValueError, NotFound):
            context["fault"] = "There is no such record. Paste its id, or the address of its page."
        else:
            names = dict(Territory.objects.values_list("pk", "name")) if found.verdicts else {}
            context |= {
                "found": found,
                "target": names.get(found.target_id) if found.target_id else None,
                "current": names.get(found.territory_id) if found.territory_id else None,
                "url": record_url(entities[kind], UUID(text.rstrip("/").rpartition("/")[2])),
                "verdicts": [
                    (verdict, names.get(verdict.territory, ""), list(_sentences(verdict.explanation)))
                    for verdict in found.verdicts
                ],
            }
    return TemplateResponse(request, "backoffice/territory_test.html", context)


def _rows(actor: Actor, roots: Sequence[Node], span: Span) -> Iterator[_Row]:
    waiting = [(node, 0) for node in reversed(roots)]
    while waiting:
        node, level = waiting.pop()
        is_cut = level == LEVELS and bool(node.children)
        figures = []
        for name in FIGURES:
            if name not in METRICS:
                continue
            metric, value = METRICS[name], node.rolled_up[name]
            text = (
                "—"
                if value is None
                else show_money(value, span.currency)
                if metric.is_money
                else show_number(value)
            )
            figures.append((metric.label, text))
        url = record_url(entities["territory"], node.territory.pk)
        yield _Row(node.territory, url, level, _size(node) - 1, is_cut, figures)
        if not is_cut:
            waiting += [(child, level + 1) for child in reversed(node.children)]


def _size(node: Node) -> int:
    count, waiting = 0, [node]
    while waiting:
        current = waiting.pop()
        count += 1
        waiting += current.children
    return count


def _chosen(records: Any, text: str | None) -> tuple[Any, str]:
    """The territory that a form names, and what is wrong with it; none is the top."""
    if not text:
        return None, ""
    try:
        found = records.filter(pk=UUID(text)).first()
    except ValueError:
        found = None
    return found, "" if found else "Choose one of the territories; one that lies below itself is none."


def _sentences(found: Mapping[str, Any] | None) -> Iterator[tuple[bool, str]]:
    """Each comparison of a rule as a line: whether it holds, and what it met."""
    if found is None:
        return
    if "group" in found:
        for part in found["parts"]:
            yield from _sentences(part)
        return
    actual = found["actual"]
    met = "nothing" if actual in (None, "", []) else actual
    yield found["holds"], f"{found['field']} {found['operator'].replace('_', ' ')}: the record has {met}"


for _page in (
    Page(
        "Territory tree",
        "territory_tree",
        "account_tree",
        "Setup",
        "territory-tree/",
        tree_view,
        position=39,
        shown_to=lambda actor: view("territory", actor).can("read"),
    ),
    Page(
        "Test the rules",
        "territory_test",
        "rule",
        "Setup",
        "territory-test/",
        test_view,
        shown_to=lambda actor: actor.rights.can(MANAGE_TERRITORIES),
        in_navigation=False,
    ),
):
    cast(BackOfficeSite, admin.site).add_page(_page)
