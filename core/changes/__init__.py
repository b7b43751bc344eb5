"""The change log, written by the database: one append-only table that is audit trail, event stream and history.

Also the set-first writes: `Rows` (a relation of candidate rows) and the one statement that checks, derives and writes
them. `audit` is the explorer on top.
"""

from core.changes.constraints import Rule
from core.changes.outcome import Outcome
from core.changes.rows import Rows
from core.changes.writes import WriteSpec, erase, insert, remove, restore, update

__all__ = ["Outcome", "Rows", "Rule", "WriteSpec", "erase", "insert", "remove", "restore", "update"]
