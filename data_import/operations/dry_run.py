"""A dry run: what the operations would refuse of the planned rows, found without writing them.

Each batch is judged by the write's own statement, which locks nothing (`core.changes.judge`). What rows of the file have
to do with each other is seen to here, across batches: a key that an earlier row takes, and a parent that an earlier row
creates. Not foreseen are effects of a row on anything else that a later one meets: a value that an update sets free for
another row, rules that look at the records a parent of the file would have, totals that several rows exceed together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial

from django.db import connection, transaction

from core.changes import Judged, Rows
from core.entities import entities
from core.kernel.errors import Fault
from core.kernel.transactions import retried
from core.tenancy.actors import Actor
from data_import.compiler.targets import Plan
from data_import.models import ImportBatch, ImportJob
from data_import.operations.commit import candidates, in_halves, note_refused, write_batch
from data_import.operations.jobs import raise_if_canceled

Faults = dict[int, tuple[Fault, ...]]


class _TakenBack(Exception):
    """Ends the transaction of a batch without a trace."""


def judge_all(actor: Actor, job: ImportJob, plan: Plan, now: datetime, report: Callable[[int], None]) -> None:
    """Judge every batch, each in a transaction of its own; rows that would be refused become invalid.

    Raises: Canceled between two batches.
    """
    judge = _Judge(actor, job, plan, now)
    for batch in retried(lambda: list(ImportBatch.objects.filter(job_id=job.pk).order_by("number"))):

        def step(batch: ImportBatch = batch) -> tuple[Faults, dict[int, Judged]]:
            raise_if_canceled(job.pk)
            return judge.batch(batch)

        refused, judged = retried(step)
        refused |= judge.compare(judged)
        if refused:

            def note(refused: Faults = refused) -> None:
                note_refused(actor, job, plan, refused, "invalid")

            retried(note)
        report(batch.row_count)


class _Judge:
    """Judges batch after batch, and remembers what rows of the file would take and create."""

    def __init__(self, actor: Actor, job: ImportJob, plan: Plan, now: datetime) -> None:
        self.actor, self.job, self.plan, self.now = actor, job, plan, now
        self.operation = entities[job.entity_type].writes.judge
        self.parents = frozenset(target.field.name for target in plan.self_references)
        self.taken: set[str] = set()
        self.created: set[str] = set()

    def batch(self, batch: ImportBatch) -> tuple[Faults, dict[int, Judged]]:
        """What is refused of the batch outright, and the judgments of its rows, by their numbers in the file.

        Needs a transaction.
        """
        if self.operation is None:
            return self._tried_out(batch), {}
        with connection.cursor() as cursor:
            # As in `write_batch`: the planner does not know how many rows a batch has.
            cursor.execute("SET LOCAL enable_nestloop = off")
        refused: Faults = {}
        judged: dict[int, Judged] = {}
        for action in ("create", "update"):
            if self.plan.mode in (action, "upsert"):
                refused |= in_halves(
                    partial(self._attempt, action, judged),
                    partial(candidates, self.actor, self.job, self.plan, batch.number, action),
                    (batch.first_row, batch.last_row),
                )
        return refused, judged

    def compare(self, judged: Mapping[int, Judged]) -> Faults:
        """What is refused in view of the earlier rows of the file; the others are remembered for the later ones."""
        refused: Faults = {}
        for place, row in sorted(judged.items()):
            faults = (*self._real(row), *self._repeated(row))
            if faults:
                refused[place] = faults
                continue
            self.taken.update(row.keys)
            if self.parents and row.effect != "unchanged":
                self.created.add(str(row.id))
        return refused

    def _attempt(self, action: str, judged: dict[int, Judged], rows: Rows) -> Faults:
        assert self.operation is not None  # noqa: S101 - `batch` has looked
        judged.update(
            self.operation(
                action, actor=self.actor, rows=rows, now=self.now, fields=self.parents, with_keys=True
            )
        )
        return {}

    def _real(self, row: Judged) -> tuple[Fault, ...]:
        """Its faults but for parents that are missing only because nothing is written."""
        return tuple(
            fault
            for fault in row.faults
            if not (
                fault.code == "does_not_exist"
                and fault.path in self.parents
                and str(row.new.get(fault.path)) in self.created
            )
        )

    def _repeated(self, row: Judged) -> tuple[Fault, ...]:
        """Keys that an earlier row of the file would hold by then."""
        repeated = [fault for key, fault in row.keys.items() if key in self.taken]
        return tuple(fault for fault in repeated if fault not in row.faults)

    def _tried_out(self, batch: ImportBatch) -> Faults:
        """The batch written and taken back, for operations that cannot say beforehand what they would do."""
        refused: Faults = {}
        try:
            with transaction.atomic():
                refused = write_batch(self.actor, self.job, self.plan, batch, self.now)
                raise _TakenBack
        except _TakenBack:
            return refused
