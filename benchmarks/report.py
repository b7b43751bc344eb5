"""The page docs/reference/benchmarks.md, written from what was measured last for each goal."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable
from dataclasses import asdict
from datetime import date
from pathlib import Path

from benchmarks.measuring import Line, Section, Verdict

_HERE = Path(__file__).resolve().parent
_RESULTS = _HERE / "results.json"
_TRIED = _HERE / "tried.md"
_PAGE = _HERE.parent / "docs" / "reference" / "benchmarks.md"

_HEAD = """# Benchmarks

`bin/bench` measures the system beside what it cannot do without, and beside other ways to do the same, on one machine in
one run: `bin/bench G4 G5` measures two of the goals and leaves the others as they were. It makes its own home with
durable servers and 100,000 contacts (a million for G10); nothing of yours is touched. Each figure is the median of
interleaved rounds, each ratio the median of the rounds' ratios. **Only ratios are goals**: the absolute figures belong to
the machine and its mood.
"""


def keep(goal: str, sections: Iterable[Section]) -> None:
    """Remember a goal's sections and write the page anew."""
    kept = _kept()
    kept[goal] = {
        "measured_on": date.today().isoformat(),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "sections": [asdict(section) for section in sections],
    }
    _RESULTS.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    write()


def _kept() -> dict[str, dict[str, object]]:
    return json.loads(_RESULTS.read_text()) if _RESULTS.exists() else {}


def write() -> None:
    kept = _kept()
    parts = [_HEAD, "## Goals\n", "| goal | measured | ratio | bound | met |", "|---|---|---|---|---|"]
    ordered = sorted(kept, key=lambda name: int(name[1:]))
    for goal in ordered:
        for section in _sections(kept[goal]):
            for verdict in section.verdicts:
                sign = "≥" if verdict.at_least else "≤"
                parts.append(
                    f"| {goal} | {section.title}: {verdict.what} | {verdict.ratio:.2f} | {sign} {verdict.bound:.2f} | "
                    f"{'yes' if verdict.is_met else '**no**'} |"
                )
    parts.append("")
    for goal in ordered:
        parts += [f"## {goal}\n", f"Measured on {kept[goal]['measured_on']} ({kept[goal]['machine']}).\n"]
        for section in _sections(kept[goal]):
            parts += [f"### {section.title}\n", "| | median | of the first |", "|---|---|---|"]
            for line in section.lines:
                share = f"{line.of_anchor:.2f}" if line.of_anchor is not None else ""
                parts.append(f"| {line.name} | {_figure(line.median)} {line.unit} | {share} |")
            parts += ["", *(f"{note}\n" for note in section.notes)]
    if _TRIED.exists():
        parts.append(_TRIED.read_text())
    _PAGE.write_text("\n".join(parts).rstrip() + "\n")


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _sections(kept: dict[str, object]) -> list[Section]:
    return [
        Section(
            document["goal"],
            document["title"],
            [Line(**line) for line in document["lines"]],
            [Verdict(**verdict) for verdict in document["verdicts"]],
            document["notes"],
        )
        for document in kept["sections"]  # type: ignore[attr-defined]
    ]


def show(section: Section) -> None:
    print(f"\n{section.goal}  {section.title}")
    for line in section.lines:
        share = f"{line.of_anchor:8.3f}" if line.of_anchor is not None else ""
        print(f"  {line.name:44} {_figure(line.median):>10} {line.unit:14}{share}")
    for verdict in section.verdicts:
        sign = "≥" if verdict.at_least else "≤"
        print(
            f"  {'met   ' if verdict.is_met else 'MISSED'} {verdict.what}: {verdict.ratio:.3f} ({sign} {verdict.bound})"
        )
    for note in section.notes:
        print(f"  {note}")
