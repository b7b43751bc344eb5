"""What is declared: `manage.py describe events|consumers|jobs|tasks`, one line each, for people and for diffs."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from celery import current_app
from django.core.management.base import BaseCommand

from core.changes.events import event_names
from core.changes.stream import consumers
from core.jobs.registry import job_kinds
from core.jobs.task import Task


def _events() -> Iterator[str]:
    for name in event_names():
        readers = [entry.name for entry in consumers if _reads(entry.entity_types, entry.events, name)]
        yield f"{name}\t{', '.join(readers)}"


def _reads(entity_types: frozenset[str], events: frozenset[str], name: str) -> bool:
    return not (entity_types or events) or name in events or name.partition(".")[0] in entity_types


def _consumers() -> Iterator[str]:
    for entry in consumers:
        yield f"{entry.name}\t{', '.join(sorted(entry.entity_types | entry.events)) or 'everything'}"


def _jobs() -> Iterator[str]:
    for kind in job_kinds:
        shape = "one transaction" if kind.transactional else "long-running"
        period = f"\tevery {kind.every}" if kind.every else ""
        yield f"{kind.name}\t{kind.tenancy}\t{shape}\tat most {kind.max_attempts} attempts{period}"


def _tasks() -> Iterator[str]:
    for name, task in sorted(current_app.tasks.items()):
        if isinstance(task, Task):
            yield f"{name}\t{task.tenancy}"


SUBJECTS = {"events": _events, "consumers": _consumers, "jobs": _jobs, "tasks": _tasks}


class Command(BaseCommand):
    help = "Lists what the installed apps declare."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("subject", choices=SUBJECTS)

    def handle(self, *args: Any, **options: Any) -> None:
        for line in SUBJECTS[options["subject"]]():
            self.stdout.write(line)
