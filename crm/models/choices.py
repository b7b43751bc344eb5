"""The values of choice columns. Logic reads type flags (`stage_type`, `LEAD_STATUS_TYPES`), never a label."""

from __future__ import annotations

from django.db.models import TextChoices


class AccountType(TextChoices):
    PROSPECT = "prospect"
    CUSTOMER = "customer"
    PARTNER = "partner"
    RESELLER = "reseller"
    COMPETITOR = "competitor"
    INVESTOR = "investor"
    VENDOR = "vendor"
    FORMER_CUSTOMER = "former_customer"
    OTHER = "other"


class AccountStatus(TextChoices):
    ACTIVE = "active"
    INACTIVE = "inactive"
    ON_HOLD = "on_hold"


class Ownership(TextChoices):
    PUBLIC = "public"
    PRIVATE = "private"
    SUBSIDIARY = "subsidiary"
    GOVERNMENT = "government"
    OTHER = "other"


class Rating(TextChoices):
    HOT = "hot"
    WARM = "warm"
    COOL = "cool"
    COLD = "cold"


class Source(TextChoices):
    WEB = "web"
    EMAIL = "email"
    CALL = "call"
    REFERRAL = "referral"
    PARTNER = "partner"
    CAMPAIGN = "campaign"
    EVENT = "event"
    SOCIAL = "social"
    EXISTING_CUSTOMER = "existing_customer"
    IMPORT = "import"
    API = "api", "API"
    OTHER = "other"


class Channel(TextChoices):
    EMAIL = "email"
    PHONE = "phone"
    SMS = "sms", "SMS"
    POST = "post"
    NONE = "none"


class LifecycleStage(TextChoices):
    SUBSCRIBER = "subscriber"
    LEAD = "lead"
    QUALIFIED = "qualified"
    OPPORTUNITY = "opportunity"
    CUSTOMER = "customer"
    EVANGELIST = "evangelist"
    OTHER = "other"


class LeadStatus(TextChoices):
    NEW = "new"
    CONTACTED = "contacted"
    QUALIFIED = "qualified"
    NURTURING = "nurturing"
    UNQUALIFIED = "unqualified"
    RECYCLED = "recycled"
    CONVERTED = "converted"


class LeadStatusType(TextChoices):
    OPEN = "open"
    ONGOING = "ongoing"
    ON_HOLD = "on_hold"
    WON = "won"
    LOST = "lost"


LEAD_STATUS_TYPES = {
    LeadStatus.NEW: LeadStatusType.OPEN,
    LeadStatus.CONTACTED: LeadStatusType.ONGOING,
    LeadStatus.QUALIFIED: LeadStatusType.ONGOING,
    LeadStatus.NURTURING: LeadStatusType.ON_HOLD,
    LeadStatus.UNQUALIFIED: LeadStatusType.LOST,
    LeadStatus.RECYCLED: LeadStatusType.ON_HOLD,
    LeadStatus.CONVERTED: LeadStatusType.WON,
}


class Timeline(TextChoices):
    """How soon a lead means to buy."""

    IMMEDIATE = "immediate"
    THIS_QUARTER = "this_quarter"
    NEXT_QUARTER = "next_quarter"
    THIS_YEAR = "this_year"
    LATER = "later"
    UNKNOWN = "unknown"


class StageType(TextChoices):
    OPEN = "open"
    WON = "won"
    LOST = "lost"


class ForecastCategory(TextChoices):
    PIPELINE = "pipeline"
    BEST_CASE = "best_case"
    MOST_LIKELY = "most_likely"
    COMMIT = "commit"
    CLOSED = "closed"
    OMITTED = "omitted"


class DealType(TextChoices):
    NEW_BUSINESS = "new_business"
    EXISTING_BUSINESS = "existing_business"
    RENEWAL = "renewal"
    UPSELL = "upsell"
    CROSS_SELL = "cross_sell"


class DealRole(TextChoices):
    """What part a contact plays in the buying."""

    DECISION_MAKER = "decision_maker"
    ECONOMIC_BUYER = "economic_buyer"
    CHAMPION = "champion"
    INFLUENCER = "influencer"
    EVALUATOR = "evaluator"
    BLOCKER = "blocker"
    USER = "user"
    OTHER = "other"


class AmountSource(TextChoices):
    MANUAL = "manual"
    CALCULATED = "calculated"


class ProductType(TextChoices):
    GOODS = "goods"
    SERVICE = "service"
    SUBSCRIPTION = "subscription"
    BUNDLE = "bundle"


class BillingPeriod(TextChoices):
    ONE_TIME = "one_time"
    MONTHLY = "monthly"
    QUARTERLY = "quarterly"
    YEARLY = "yearly"


class DiscountType(TextChoices):
    PERCENTAGE = "percentage"
    FIXED = "fixed"


class ReasonFor(TextChoices):
    DEAL = "deal"
    LEAD = "lead"


class ActivityType(TextChoices):
    CALL = "call"
    EMAIL = "email"
    MEETING = "meeting"
    DEMO = "demo"
    SMS = "sms", "SMS"
    NOTE = "note"
    VISIT = "visit"
    OTHER = "other"


class ActivityStatus(TextChoices):
    PLANNED = "planned"
    HELD = "held"
    NOT_HELD = "not_held"
    CANCELED = "canceled"


class Direction(TextChoices):
    OUTBOUND = "outbound"
    INBOUND = "inbound"


class ParticipantKind(TextChoices):
    """Which of a participant's columns says who it is."""

    USER = "user"
    CONTACT = "contact"
    LEAD = "lead"
    EMAIL = "email"


class Response(TextChoices):
    NONE = "none"
    ACCEPTED = "accepted"
    TENTATIVE = "tentative"
    DECLINED = "declined"


class CallOutcome(TextChoices):
    CONNECTED = "connected"
    NO_ANSWER = "no_answer"
    LEFT_MESSAGE = "left_message"
    BUSY = "busy"
    WRONG_NUMBER = "wrong_number"
    INTERESTED = "interested"
    NOT_INTERESTED = "not_interested"
    OTHER = "other"


class TaskStatus(TextChoices):
    NOT_STARTED = "not_started"
    IN_PROGRESS = "in_progress"
    WAITING = "waiting"
    COMPLETED = "completed"
    DEFERRED = "deferred"
    CANCELED = "canceled"


class TaskType(TextChoices):
    TODO = "todo", "To-do"
    CALL = "call"
    EMAIL = "email"
    FOLLOW_UP = "follow_up"


class Priority(TextChoices):
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"
