"""The CRM's records in the back office."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from core.access import view
from core.backoffice.entity_admin import EntityAdmin
from core.backoffice.inlines import EntityInline
from core.backoffice.record_pages import Event, Step
from core.backoffice.values import record_url, show_date
from core.backoffice.writing import actor_of
from crm.admin.guided import DEAL_GUIDES, LEAD_GUIDES
from crm.admin.timeline import events_around, in_order
from crm.models import (
    Account,
    Activity,
    ActivityParticipant,
    Contact,
    Deal,
    DealContact,
    DealProduct,
    DealStageHistory,
    Lead,
    LostReason,
    Note,
    Pipeline,
    PipelineStage,
    Product,
    Tag,
    Task,
)
from crm.models.choices import TaskStatus

ADDRESS = ("street", "postal_code", "city", "state", "country")
OPEN_TASKS = tuple(
    status.value for status in TaskStatus if status not in (TaskStatus.COMPLETED, TaskStatus.CANCELED)
)
STEPS_SHOWN = 5


class RelatedAdmin(EntityAdmin):
    """A record that activities, tasks and notes are about: one feed, and the open tasks as next steps."""

    # The field of activities, tasks and notes that points here.
    relation: ClassVar[str]

    def timeline(self, request: HttpRequest, record: Any) -> list[Event]:
        around = events_around(actor_of(request), self.relation, record)
        return in_order([*around, *super().timeline(request, record)])

    def next_steps(self, request: HttpRequest, record: Any) -> list[Step]:
        tasks = view("task", actor_of(request))
        if not tasks.can_ask(self.relation, "status", "subject", "due_date"):
            return []
        today = timezone.localdate()
        found = tasks.records().filter(**{self.relation: record.pk}, status__in=OPEN_TASKS)
        return [
            Step(
                task.subject,
                record_url(tasks.entity, task.pk),
                f"due {show_date(task.due_date)}" if task.due_date else "",
                bool(task.due_date and task.due_date < today),
            )
            for task in found.order_by("due_date", "pk").only("pk", "subject", "due_date")[:STEPS_SHOWN]
        ]


@admin.register(Lead)
class LeadAdmin(RelatedAdmin):
    section, icon, position = "Sales", "person_search", 10
    relation = "lead"
    columns = ("full_name", "company_name", "status", "rating", "estimated_value", "owner", "created_at")
    filters = ("status", "status_type", "rating", "source", "owner", "tags", "created_at", "last_activity_at")
    key_facts = ("company_name", "status", "rating", "estimated_value", "email", "owner")
    related = ("activity.lead", "task.lead", "note.lead")
    groups = (
        ("Person", ("salutation", "first_name", "last_name", "title", "company_name", "email", "phone", "mobile", "website")),
        ("Qualification", ("status", "status_reason", "rating", "source", "source_detail", "estimated_value", "currency",
                           "budget_known", "authority_known", "need", "timeline", "owner", "tags")),
        ("Company", ("industry", "annual_revenue", "number_of_employees", *ADDRESS)),
        ("Consent", ("do_not_call", "email_opt_out")),
        ("Description", ("description",)),
    )  # fmt: skip
    guides = LEAD_GUIDES


@admin.register(Account)
class AccountAdmin(RelatedAdmin):
    section, icon, position = "Sales", "business", 20
    relation = "account"
    columns = ("name", "type", "status", "industry", "billing_city", "owner", "last_activity_at")
    filters = (
        "type",
        "status",
        "industry",
        "rating",
        "owner",
        "tags",
        "billing_country",
        "created_at",
        "last_activity_at",
    )
    key_facts = ("type", "status", "industry", "annual_revenue", "website", "owner")
    related = (
        "contact.account",
        "deal.account",
        "activity.account",
        "task.account",
        "note.account",
        "account.parent",
    )
    groups = (
        ("Account", ("name", "type", "status", "rating", "industry", "website", "email", "phone", "owner", "tags")),
        ("Company", ("legal_name", "account_number", "parent", "primary_contact", "ownership", "tax_id", "number_of_employees",
                     "annual_revenue", "currency", "source")),
        ("Billing address", tuple(f"billing_{part}" for part in ADDRESS)),
        ("Shipping address", tuple(f"shipping_{part}" for part in ADDRESS)),
        ("Description", ("description",)),
    )  # fmt: skip


@admin.register(Contact)
class ContactAdmin(RelatedAdmin):
    section, icon, position = "Sales", "contacts", 30
    relation = "contact"
    columns = ("full_name", "account", "title", "email", "phone", "owner", "last_contacted_at")
    filters = (
        "account",
        "lifecycle_stage",
        "lead_source",
        "owner",
        "tags",
        "do_not_call",
        "email_opt_out",
        "created_at",
    )
    key_facts = ("account", "title", "email", "phone", "lifecycle_stage", "owner")
    related = (
        "deal_contact.contact",
        "activity.contact",
        "task.contact",
        "note.contact",
        "contact.reports_to",
    )
    groups = (
        ("Person", ("salutation", "first_name", "last_name", "title", "department", "account", "reports_to", "owner", "tags")),
        ("Contact details", ("email", "phone", "mobile", "preferred_channel", "preferred_language", "do_not_call",
                             "email_opt_out")),
        ("Mailing address", tuple(f"mailing_{part}" for part in ADDRESS)),
        ("About", ("lifecycle_stage", "lead_source", "birth_date", "description")),
    )  # fmt: skip


class DealLines(EntityInline):
    """What the deal is about; its amount follows from the lines."""

    model = DealProduct
    title = "Products"
    fields_written = ("product", "name", "quantity", "unit_price", "discount_type", "discount_value")
    shown = "total"


@admin.register(Deal)
class DealAdmin(RelatedAdmin):
    section, icon, position = "Sales", "handshake", 40
    lines = (DealLines,)
    relation = "deal"
    columns = ("name", "account", "stage", "status", "amount", "close_date", "owner")
    filters = (
        "status",
        "stage",
        "pipeline",
        "owner",
        "account",
        "close_date",
        "closed_at",
        "amount",
        "deal_type",
        "tags",
    )
    key_facts = ("account", "stage", "status", "amount", "close_date", "owner")
    related = ("deal_product.deal", "deal_contact.deal", "activity.deal", "task.deal", "note.deal")
    groups = (
        ("Deal", ("name", "account", "primary_contact", "pipeline", "stage", "amount", "currency", "close_date", "owner",
                  "tags")),
        ("Forecast", ("probability", "expected_amount", "forecast_category", "deal_type", "source", "days_in_stage",
                      "probability_overridden", "forecast_category_overridden", "amount_source")),
        ("Next step", ("next_step", "next_step_date", "competitor", "description")),
        ("Outcome", ("status", "closed_at", "lost_reason", "lost_notes")),
    )  # fmt: skip
    guides = DEAL_GUIDES

    def next_steps(self, request: HttpRequest, record: Any) -> list[Step]:
        steps = super().next_steps(request, record)
        if record.next_step and record.status == "open":
            due = record.next_step_date
            when = f"by {show_date(due)}" if due else ""
            steps.insert(0, Step(record.next_step, "", when, bool(due and due < timezone.localdate())))
        return steps


@admin.register(Task)
class TaskAdmin(EntityAdmin):
    section, icon, position = "Work", "checklist", 10
    columns = ("subject", "status", "priority", "due_date", "deal", "account", "owner")
    filters = ("status", "priority", "type", "owner", "due_date", "account", "deal", "tags")
    key_facts = ("status", "priority", "due_date", "owner")
    groups = (
        ("Task", ("subject", "type", "status", "priority", "due_date", "due_at", "reminder_at", "owner", "description")),
        ("About", ("account", "contact", "lead", "deal", "tags")),
    )  # fmt: skip


@admin.register(Activity)
class ActivityAdmin(EntityAdmin):
    section, icon, position = "Work", "forum", 20
    columns = ("subject", "type", "status", "start_at", "account", "deal", "owner")
    filters = ("type", "status", "direction", "owner", "start_at", "account", "deal", "tags")
    key_facts = ("type", "status", "start_at", "owner")
    related = ("activity_participant.activity",)
    groups = (
        ("Activity", ("type", "subject", "status", "direction", "start_at", "end_at", "duration_minutes", "location",
                      "outcome", "owner", "description")),
        ("About", ("account", "contact", "lead", "deal", "tags")),
    )  # fmt: skip


@admin.register(Note)
class NoteAdmin(EntityAdmin):
    section, icon, position = "Work", "sticky_note_2", 30
    # Most have no title: what they say leads to them.
    columns = ("body", "title", "account", "deal", "is_pinned", "owner", "created_at")
    key_facts = ("owner", "is_pinned", "created_at")
    groups = (
        ("Note", ("title", "body", "is_pinned", "owner")),
        ("About", ("account", "contact", "lead", "deal", "tags")),
    )


@admin.register(Product)
class ProductAdmin(EntityAdmin):
    section, icon, position = "Catalog", "inventory_2", 10
    columns = ("name", "sku", "family", "unit_price", "currency", "is_active")


@admin.register(Tag)
class TagAdmin(EntityAdmin):
    section, icon, position = "Catalog", "sell", 20
    columns = ("name", "color", "description", "usage_count")
    related = ()


@admin.register(LostReason)
class LostReasonAdmin(EntityAdmin):
    section, icon, position = "Catalog", "psychology_alt", 30
    columns = ("name", "applies_to", "is_active", "order")
    related = ()


@admin.register(Pipeline)
class PipelineAdmin(EntityAdmin):
    section, icon, position = "Setup", "view_kanban", 30
    columns = ("name", "code", "is_default", "is_active", "enforce_stage_order", "order")
    related = ("pipeline_stage.pipeline", "deal.pipeline")


@admin.register(PipelineStage)
class PipelineStageAdmin(EntityAdmin):
    section, icon, position = "Setup", "stairs", 31
    columns = ("name", "pipeline", "stage_type", "probability", "forecast_category", "rotting_days", "order")
    filters = ("pipeline", "stage_type", "is_active")
    related = ("deal.stage",)


@admin.register(DealProduct)
class DealProductAdmin(EntityAdmin):
    """Lines of deals: reached from the deal."""

    in_navigation = False
    columns = ("name", "quantity", "unit_price", "discount_value", "total")
    groups = (
        ("Line", ("deal", "product", "name", "sku", "quantity", "unit", "unit_price", "discount_type", "discount_value",
                  "order", "description")),
    )  # fmt: skip


@admin.register(DealContact)
class DealContactAdmin(EntityAdmin):
    """Contacts of deals: reached from either."""

    in_navigation = False
    columns = ("contact", "deal", "role", "is_primary")


@admin.register(ActivityParticipant)
class ActivityParticipantAdmin(EntityAdmin):
    """Who takes part: reached from the activity."""

    in_navigation = False
    columns = ("kind", "user", "contact", "lead", "email", "response", "is_organizer")


@admin.register(DealStageHistory)
class DealStageHistoryAdmin(EntityAdmin):
    """Shown in the deal's timeline."""

    in_navigation = False
    columns = ("changed_at", "deal", "from_stage", "to_stage", "amount_after", "changed_by", "source")
