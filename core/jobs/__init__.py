"""Work to be done later, as rows of PostgreSQL written in the business transaction. Redis only rings.

`enqueue` it, handle it in an app's `tasks.py` with `@job_handler`, run it periodically with `every=`. A kind with a `label` is
seen by people: `core.rest.jobs` and the back office show its progress, its outcome, and a way to cancel it.
"""

from core.jobs.leases import JobCanceled, LeaseLost
from core.jobs.operations import NewJob, cancel, enqueue, enqueue_many, retry
from core.jobs.registry import GiveUp, JobRun, Presented, Reference, job_handler
from core.jobs.schedules import take_slots

__all__ = [
    "GiveUp",
    "JobCanceled",
    "JobRun",
    "LeaseLost",
    "NewJob",
    "Presented",
    "Reference",
    "cancel",
    "enqueue",
    "enqueue_many",
    "job_handler",
    "retry",
    "take_slots",
]
