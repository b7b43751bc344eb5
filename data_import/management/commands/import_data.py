"""`manage.py import_data contacts.csv --company acme --entity contact [--map COL=FIELD]… [--dry-run] [--json]`"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from core.identity.models import Company, User
from core.identity.queries import list_actors_of_user
from core.kernel.errors import DomainError, Invalid
from core.kernel.ids import uuid7
from core.kernel.transactions import retried, unit_of_work
from core.tenancy.actors import Actor, system_actor
from core.tenancy.context import actor_context, system_context
from data_import.models import ImportJob, ImportTemplate, JobStatus
from data_import.operations import jobs
from data_import.operations.run import Ended, Report, run_import
from data_import.queries import count_rows, get_progress, of_status, staged_rows
from data_import.schemas import ImportSettings, read_settings, settings_of
from data_import.source import blocks_of

EXIT_ROWS_FAILED = 1
EXIT_UNUSABLE = 2
SHOWN_ERRORS = 10
POLL_SECONDS = 0.5


class Command(BaseCommand):
    help = (
        "Import a delimited text file into a company. Exit code 0: every row is in; 1: some rows failed "
        "(0 with --allow-errors); 2: the input cannot be used, and nothing was written."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", help="The file; not needed with --resume")
        parser.add_argument("--company", required=True, metavar="SLUG")
        parser.add_argument(
            "--entity", help="What the rows are: account, contact, lead, deal, product, user, …"
        )
        parser.add_argument("--template", metavar="NAME", help="Settings kept under this name")
        parser.add_argument(
            "--map",
            action="append",
            default=[],
            metavar="COL=FIELD",
            help="A column and the field it goes to; a column may go to several. Without any, names decide",
        )
        parser.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="FIELD=VALUE",
            help="What a field gets where the file says nothing; {column} stands for a cell",
        )
        parser.add_argument(
            "--value-map",
            action="append",
            default=[],
            metavar="COL|FIELD=JSON|FILE",
            help='Other words for values: \'{"Won": "closed_won"}\'; "*" stands for every other value',
        )
        parser.add_argument("--date-format", action="append", default=[], metavar="COL=FORMAT")
        parser.add_argument("--mode", choices=("create", "update", "upsert"))
        parser.add_argument("--match-on", metavar="FIELD", help="By which field a row matches a record")
        parser.add_argument("--encoding")
        parser.add_argument("--delimiter")
        parser.add_argument("--as", dest="as_user", metavar="EMAIL", help="Import as this member")
        parser.add_argument("--dry-run", action="store_true", help="Say what would happen, write nothing")
        parser.add_argument("--allow-errors", action="store_true", help="Exit 0 although rows failed")
        parser.add_argument("--json", action="store_true", help="Print the summary as JSON")
        parser.add_argument(
            "--resume", metavar="JOB", help="Go on with a job that was interrupted or planned"
        )
        parser.add_argument("--worker", action="store_true", help="Have a worker do it, and wait for it here")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            company = self._company(options["company"])
            actor = self._actor(company, options["as_user"])
            with actor_context(actor, source="import"):
                job_id = self._job(actor, options)
                with self._progress(quiet=options["json"]) as report:
                    ended = self._carry_out(actor, job_id, options, report)
                self._tell(actor, job_id, ended, options)
        except DomainError as refusal:
            reasons = "; ".join(f"{fault.path}: {fault.detail}" for fault in refusal.faults)
            raise CommandError(reasons or refusal.detail, returncode=EXIT_UNUSABLE) from None

    # --- who and what -----------------------------------------------------------------------------------------------

    def _company(self, slug: str) -> Company:
        with system_context("finding a company", source="command"), unit_of_work():
            company = Company.objects.filter(slug=slug, is_active=True).first()
        if company is None:
            raise CommandError(f"There is no company {slug!r}.", returncode=EXIT_UNUSABLE)
        return company

    def _actor(self, company: Company, email: str | None) -> Actor:
        if email is None:
            return system_actor(company.pk)
        with system_context("finding a person", source="command"), unit_of_work():
            user = User.objects.filter(email=email.strip().lower()).first()
        actor = list_actors_of_user(user.pk).get(company.slug) if user else None
        if actor is None:
            raise CommandError(f"{email} is no member of {company.slug}.", returncode=EXIT_UNUSABLE)
        return actor

    def _job(self, actor: Actor, options: dict[str, Any]) -> UUID:
        """The job to carry out: the one to resume, or a new one with its file stored."""
        if options["resume"]:
            return self._resumed(options["resume"])
        path = Path(options["file"] or "")
        if not options["file"] or not path.is_file():
            raise CommandError(f"There is no file {str(path)!r}.", returncode=EXIT_UNUSABLE)
        settings, template = self._settings(options)
        entity_type = options["entity"] or (template.entity_type if template else "")
        if not entity_type:
            raise CommandError("Say what the rows are with --entity.", returncode=EXIT_UNUSABLE)
        job_id = uuid7()

        def create() -> None:
            jobs.create_job(
                actor=actor,
                job_id=job_id,
                entity_type=entity_type,
                settings=settings,
                file_name=path.name,
                blocks=blocks_of(path),
                now=timezone.now(),
                template_id=template.pk if template else None,
            )
            job = ImportJob.objects.get(pk=job_id)
            jobs.detect_job(actor=actor, job=job, now=timezone.now())

        retried(create)
        return job_id

    def _resumed(self, text: str) -> UUID:
        try:
            job_id = UUID(text)
        except ValueError:
            raise CommandError(f"{text!r} is no job.", returncode=EXIT_UNUSABLE) from None
        with unit_of_work():
            if not ImportJob.objects.filter(pk=job_id).exists():
                raise CommandError(f"There is no job {text}.", returncode=EXIT_UNUSABLE)
        return job_id

    def _settings(self, options: dict[str, Any]) -> tuple[ImportSettings, ImportTemplate | None]:
        template = None
        document: dict[str, Any] = {}
        if options["template"]:
            with unit_of_work():
                template = ImportTemplate.objects.filter(name__iexact=options["template"]).first()
            if template is None:
                raise Invalid(f"There is no template {options['template']!r}.")
            document = settings_of(template).model_dump(mode="json")
        mapping: dict[str, list[str]] = {}
        for column, name in self._pairs("--map", options["map"]):
            mapping.setdefault(column, []).append(name)
        if mapping:
            document["field_mapping"] = {**document.get("field_mapping", {}), **mapping}
        inner = dict(document.get("options", {}))
        inner["defaults"] = {**inner.get("defaults", {}), **dict(self._pairs("--set", options["set"]))}
        inner["date_formats"] = {
            **inner.get("date_formats", {}),
            **dict(self._pairs("--date-format", options["date_format"])),
        }
        inner["value_maps"] = {**inner.get("value_maps", {}), **dict(self._value_maps(options["value_map"]))}
        for name in ("encoding", "delimiter"):
            if options[name]:
                inner[name] = "\t" if options[name] == "\\t" else options[name]
        document["options"] = inner
        for name in ("mode", "match_on"):
            if options[name]:
                document[name] = options[name]
        return read_settings(document), template

    def _pairs(self, option: str, given: list[str]) -> Iterator[tuple[str, str]]:
        for text in given:
            left, equals, right = text.partition("=")
            if not equals or not left:
                raise CommandError(f"{option} {text!r}: NAME=VALUE is expected.", returncode=EXIT_UNUSABLE)
            yield left, right

    def _value_maps(self, given: list[str]) -> Iterator[tuple[str, Any]]:
        for name, text in self._pairs("--value-map", given):
            try:
                if not text.lstrip().startswith("{"):
                    text = Path(text).read_text(encoding="utf-8")
                yield name, json.loads(text)
            except (OSError, ValueError) as error:
                raise CommandError(f"--value-map {name}: {error}", returncode=EXIT_UNUSABLE) from None

    # --- the work ---------------------------------------------------------------------------------------------------

    def _carry_out(self, actor: Actor, job_id: UUID, options: dict[str, Any], report: Report) -> Ended:
        def start() -> None:
            job = ImportJob.objects.get(pk=job_id)
            if job.status not in jobs.ENDED:
                jobs.change_job(actor, job_id, timezone.now(), is_dry_run=options["dry_run"])

        if not options["worker"]:
            retried(start)
            return run_import(actor=actor, job_id=job_id, report=report)
        return self._by_worker(actor, job_id, options["dry_run"], report)

    def _by_worker(self, actor: Actor, job_id: UUID, dry_run: bool, report: Report) -> Ended:
        def start() -> None:
            job = ImportJob.objects.get(pk=job_id)
            if job.status not in jobs.ENDED:
                jobs.start_job(actor=actor, job=job, now=timezone.now(), dry_run=dry_run)

        retried(start)
        resting = {*jobs.ENDED, JobStatus.FAILED, *([JobStatus.STAGED] if dry_run else [])}
        while True:
            with unit_of_work():
                job = ImportJob.objects.get(pk=job_id)
                now = get_progress(job)
                counts = count_rows(job.company_id, job.pk) if job.status in resting or job.error else None
            report(now.phase, now.done, now.total)
            if counts is not None:
                return Ended(job.status, counts, job.plan_digest, job.error)
            time.sleep(POLL_SECONDS)

    # --- telling ----------------------------------------------------------------------------------------------------

    @contextmanager
    def _progress(self, *, quiet: bool) -> Iterator[Report]:
        console = Console(stderr=True)
        if quiet or not console.is_terminal:
            yield lambda phase, done, total: None
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console) as progress:
            tasks: dict[str, Any] = {}

            def report(phase: str, done: int, total: int) -> None:
                if phase not in tasks:
                    tasks[phase] = progress.add_task(phase.capitalize(), total=None)
                progress.update(tasks[phase], completed=done, total=total or None)

            yield report

    def _tell(self, actor: Actor, job_id: UUID, ended: Ended, options: dict[str, Any]) -> None:
        unusable = bool(ended.error) and not ended.counts.written
        with unit_of_work():
            rows = staged_rows(ImportJob.objects.get(pk=job_id)).order_by("row_no")
            errors: list[Any] = [
                row for status in ("invalid", "failed") for row in of_status(rows, status)[:SHOWN_ERRORS]
            ]
        summary = {
            "job": str(job_id),
            "status": str(ended.status),
            "dry_run": options["dry_run"],
            **asdict(ended.counts),
            "plan_digest": ended.plan_digest,
            "error": ended.error,
            "errors": [{"row": row.row_no, **error} for row in errors for error in row.errors or ()],
            "errors_complete": ended.counts.invalid + ended.counts.failed <= len(errors),
        }
        if options["json"]:
            self.stdout.write(json.dumps(summary, ensure_ascii=False, indent=2))
        elif not unusable:
            self._print(summary)
        if unusable:
            reasons = "; ".join(f"{fault.path}: {fault.detail}" for fault in ended.faults) or ended.error
            raise CommandError(reasons, returncode=EXIT_UNUSABLE)
        bad = ended.counts.invalid + ended.counts.failed
        if (bad or ended.error or ended.status == JobStatus.CANCELED) and not options["allow_errors"]:
            raise SystemExit(EXIT_ROWS_FAILED)

    def _print(self, summary: dict[str, Any]) -> None:
        stream: Any = self.stdout
        console = Console(file=stream, highlight=False, soft_wrap=True)
        table = Table(title="Dry run" if summary["dry_run"] else "Import", show_header=False)
        for name in ("status", "total", "valid", "created", "updated", "skipped", "invalid", "failed", "job"):
            table.add_row(name.capitalize(), str(summary[name]))
        console.print(table)
        for error in summary["errors"][:SHOWN_ERRORS]:
            where = f"row {error['row']}" + (f", column {error['column']}" if error["column"] else "")
            value = f" {error['value']!r}" if error.get("value") else ""
            console.print(f"{where}:{value} {error['detail']} ({error['code']})", markup=False)
