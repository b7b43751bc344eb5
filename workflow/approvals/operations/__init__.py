"""Writes of approvals."""

from workflow.approvals.operations.deciding import approve, approve_many, comment_on, recall, reject
from workflow.approvals.operations.escalating import ESCALATE, escalate, escalate_due, hand_on_overdue
from workflow.approvals.operations.handing_over import delegate, reassign
from workflow.approvals.operations.processes import (
    check_process,
    create_processes,
    delete_processes,
    update_processes,
)
from workflow.approvals.operations.requests import resubmit, submit
from workflow.approvals.operations.voiding import void_changed

__all__ = [
    "ESCALATE",
    "approve",
    "approve_many",
    "check_process",
    "comment_on",
    "create_processes",
    "delegate",
    "delete_processes",
    "escalate",
    "escalate_due",
    "hand_on_overdue",
    "reassign",
    "recall",
    "reject",
    "resubmit",
    "submit",
    "update_processes",
    "void_changed",
]
