"""Every write of workflows and their runs."""

from workflow.operations.runs import (
    MAX_EXECUTED,
    NewRun,
    cancel_run,
    engine_is_on,
    execute_workflow,
    get_startable,
    refuse_unseen,
    retry_run,
    start_runs,
    version_of,
)
from workflow.operations.workflows import (
    check_workflow,
    create_workflows,
    delete_workflows,
    update_workflows,
)

__all__ = [
    "MAX_EXECUTED",
    "NewRun",
    "cancel_run",
    "check_workflow",
    "create_workflows",
    "delete_workflows",
    "engine_is_on",
    "execute_workflow",
    "get_startable",
    "refuse_unseen",
    "retry_run",
    "start_runs",
    "update_workflows",
    "version_of",
]
