"""The tutorial is true: every command on its page is run as it stands, against a system started as it says."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from config.home import PROJECT_DIR

PAGE = PROJECT_DIR / "docs" / "tutorial" / "first-hour.md"
READY = "Logs:"
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = ("sh", "python")
_DONE = "--- done ---"


@dataclass
class Step:
    """A command of the page, and what it shows below it."""

    line: int
    language: str
    code: str
    shown: str = ""


def steps_of(page: str) -> list[Step]:
    steps: list[Step] = []
    for block in _FENCE.finditer(page):
        language, text = block[1], block[2]
        if language in _CODE:
            steps.append(Step(page.count("\n", 0, block.start()) + 1, language, text))
        else:
            steps[-1].shown = text
    return steps


def is_as_shown(shown: str, told: str) -> bool:
    """Whether the parts of the shown text between `…` come in the told one, in that order; white space does not count."""
    rest = re.sub(r"\s", "", told)
    for part in re.sub(r"\s", "", shown).split("…"):
        if part not in rest:
            return False
        rest = rest[rest.index(part) + len(part) :]
    return True


class Terminal:
    """A shell and a Python that keep what was set in them."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._shell = subprocess.Popen(
            ["bash"],
            cwd=PROJECT_DIR,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._names: dict[str, Any] = {}

    def run(self, step: Step) -> str:
        return self._in_shell(step.code) if step.language == "sh" else self._in_python(step)

    def _in_shell(self, code: str) -> str:
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f"{code}\necho\necho '{_DONE}'\n")
        self._shell.stdin.flush()
        told = []
        for line in self._shell.stdout:
            if line.strip() == _DONE:
                return "".join(told)
            told.append(line)
        return "".join(told)

    def _in_python(self, step: Step) -> str:
        told = io.StringIO()
        with contextlib.redirect_stdout(told):
            exec(compile(step.code, f"{PAGE.name}:{step.line}", "exec"), self._names)  # noqa: S102 - our own page
        return told.getvalue()

    def close(self) -> None:
        self._shell.kill()
        self._shell.communicate()


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder whose path is short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="crm-first-hour-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    settings = {"CRM_HOME": str(home), "CRM_PORT": port, "DJANGO_SETTINGS_MODULE": "config.settings.local"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return dict(os.environ)


@contextlib.contextmanager
def started(environment: dict[str, str]) -> Iterator[str]:
    """`bin/run`, whose environment the test has already. Answers what it told."""
    with subprocess.Popen(
        [sys.executable, "manage.py", "up"],
        cwd=PROJECT_DIR,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as system:
        assert system.stdout is not None
        told = []
        try:
            for line in system.stdout:
                told.append(line)
                if line.startswith(READY):
                    break
            yield "".join(told)
        finally:
            system.terminate()


@pytest.mark.long
def test_every_command_answers_as_the_page_shows(environment: dict[str, str]) -> None:
    start, *steps = steps_of(PAGE.read_text())
    with started(environment) as told:
        shown = start.shown.replace("8000", environment["CRM_PORT"])
        assert is_as_shown(shown, told), told
        terminal = Terminal(environment)
        try:
            for step in steps:
                told = terminal.run(step)
                assert is_as_shown(step.shown, told), f"{PAGE.name}, line {step.line}:\n{told}"
        finally:
            terminal.close()


class TestIsAsShown:
    @pytest.mark.parametrize(
        ("shown", "told"),
        [("", "anything"), ("a … c", "a b c"), ("{\n…}", "{1}"), ("200", "200\n"), ("…b", "ab")],
    )
    def test_takes_what_fits(self, shown: str, told: str) -> None:
        assert is_as_shown(shown, told)

    @pytest.mark.parametrize(("shown", "told"), [("a", ""), ("a … c", "c a"), ("200", "404")])
    def test_refuses_what_does_not(self, shown: str, told: str) -> None:
        assert not is_as_shown(shown, told)
