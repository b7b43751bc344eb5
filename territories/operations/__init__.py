"""Every write of territories."""

from territories.operations.assignment import assign_by_rules
from territories.operations.members import MEMBERS
from territories.operations.rules import RULES, check_rule, create_rules, update_rules
from territories.operations.tree import (
    create_territories,
    delete_territories,
    judge_territories,
    remove_territory,
    update_territories,
)

__all__ = [
    "MEMBERS",
    "RULES",
    "assign_by_rules",
    "check_rule",
    "create_rules",
    "create_territories",
    "delete_territories",
    "judge_territories",
    "remove_territory",
    "update_rules",
    "update_territories",
]
