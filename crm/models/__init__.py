"""The tables of the CRM, by subject."""

from crm.models.catalog import LostReason, Product, Tag
from crm.models.deals import Deal, DealContact, DealProduct, DealStageHistory, Pipeline, PipelineStage
from crm.models.engagement import Activity, ActivityParticipant, Note, Task
from crm.models.leads import Lead
from crm.models.parties import Account, Contact

__all__ = [
    "Account",
    "Activity",
    "ActivityParticipant",
    "Contact",
    "Deal",
    "DealContact",
    "DealProduct",
    "DealStageHistory",
    "Lead",
    "LostReason",
    "Note",
    "Pipeline",
    "PipelineStage",
    "Product",
    "Tag",
    "Task",
]
