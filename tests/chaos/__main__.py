"""`python -m tests.chaos [--long] [--seed N]`: a whole system under kill -9, and whether it kept its promises.

Prints the plan, the figures of each phase and what was broken; the exit code is 1 when anything was.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.chaos.machine import Machine, machine

PHASES = ("API", "import", "jobs")


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    parser.add_argument("--phases", default=",".join(PHASES), help="which, separated by commas")
    parser.add_argument("--seeded", default="", help="a fault of tests.chaos.seeded to put in")
    parser.add_argument("--report", type=Path, help="where to write the report as JSON")
    parser.add_argument("--with-parent", action="store_true", help="end when standard input does")
    options = parser.parse_args()
    if options.with_parent:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(f"seed {options.seed}", flush=True)
    phases = set(options.phases.split(","))
    started = time.monotonic()
    with machine(CHAOS_SEEDED=options.seeded) as system:
        os.environ.update(system.environment)
        # This process is no part of the system and does not die by its plan.
        del os.environ["CRM_FAULT_PLAN"]
        report = _run(system, options.long, options.seed, phases, started)
    print(json.dumps(report, indent=2))
    if options.report:
        options.report.write_text(json.dumps(report))
    return 1 if report["broken"] or report["toothless"] else 0


def _end_with_parent() -> None:
    # Below Python's own buffer, whose lock a waiting thread would hold at the end of the process.
    os.read(0, 1)
    os._exit(1)


def _run(system: Machine, is_long: bool, seed: int, phases: set[str], started: float) -> dict[str, Any]:
    system.start_servers()
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", interactive=False, verbosity=0)

    # Needs Django.
    from tests.chaos import running

    return running.go(system, is_long, seed, phases, started)


if __name__ == "__main__":
    sys.exit(main())
