"""`python -m benchmarks [G4 G5 …] [--seconds N]`: measures the goals named, or all, and writes the reference page."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

SETTINGS = "config.settings.local"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="bin/bench", description="Measures goals and writes docs/reference/benchmarks.md."
    )
    parser.add_argument("goals", nargs="*", metavar="GOAL", help="G4, G5, …; all when none is named")
    parser.add_argument(
        "--seconds", type=float, default=1, help="how long each server is asked in each round"
    )
    options = parser.parse_args()
    _enter_home()
    goals = _goals(options.seconds)
    unknown = [name for name in options.goals if name not in goals]
    if unknown:
        parser.error(f"there is no goal {', '.join(unknown)}; there are {', '.join(goals)}")
    from benchmarks import report, world
    from config import embedded

    try:
        world.prepare()
        for name in options.goals or goals:
            sections = goals[name]()
            for section in sections:
                report.show(section)
            report.keep(name, sections)
    finally:
        embedded.for_settings(SETTINGS).stop_all()


def _enter_home() -> None:
    """A home of its own, with durable servers, inside the one of this checkout."""
    from config.home import home_for

    os.environ["DJANGO_SETTINGS_MODULE"] = SETTINGS
    os.environ["CRM_HOME"] = str(home_for(SETTINGS) / "benchmarks")
    os.environ.pop("DATABASE_URL", None)
    os.environ.pop("REDIS_URL", None)
    from config import embedded

    embedded.ensure_for(SETTINGS)
    import django

    django.setup()


def _goals(seconds: float) -> dict[str, Callable[[], list]]:  # type: ignore[type-arg]
    from benchmarks.goals import auditing, changes, importing, isolation, lists, paging

    return {
        "G4": lambda: [lists.list_goal("G4", 100, 0.50, seconds)],
        "G5": lambda: [lists.list_goal("G5", 10, 0.25, seconds), lists.write_goal(seconds)],
        "G7": lambda: changes.goal(seconds),
        "G8": isolation.goal,
        "G1": lambda: [importing.goal()],
        "G10": lambda: [paging.goal(seconds)],
        "G21": lambda: [auditing.sealing()],
        "G22": lambda: [auditing.exploring()],
    }


if __name__ == "__main__":
    main()
