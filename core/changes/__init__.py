"""The change log, written by the database: one append-only table that is audit trail, event stream and history.

Also the set-first writes: `Rows` (a relation of candidate rows) and the one statement that checks, derives and writes
them. `audit` is the explorer on top.

`gates`: rules of a company that take part in its writes. `judging`: what a write would do. `stream`: the log as events.
"""

from core.changes.constraints import Rule
from core.changes.judging import Judged, judge
from core.changes.outcome import Outcome
from core.changes.rows import Rows
from core.changes.writes import WriteSpec, erase, insert, remove, restore, update

__all__ = [
    "Judged",
    "Outcome",
    "Rows",
    "Rule",
    "WriteSpec",
    "erase",
    "insert",
    "judge",
    "remove",
    "restore",
    "update",
]
