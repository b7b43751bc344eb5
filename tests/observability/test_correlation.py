"""One id through a request, its log lines and the tasks it sends."""

import io
import json
import logging
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from celery import shared_task
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from core.observability import logs, task_signals
from core.observability.access_lines import AccessLines, access_lines
from core.observability.correlation import add_correlation, correlation, current_id, identify
from core.observability.middleware import CorrelationIdMiddleware


@shared_task
def tell_correlation_id() -> str:
    return current_id()


def answer(request: HttpRequest) -> HttpResponse:
    identify(user_id="u1", company_id="c1")
    return HttpResponse(current_id())


@pytest.fixture
def json_lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """A function giving the JSON log lines written so far."""
    root = logging.getLogger()
    around = root.handlers[:]
    written = io.StringIO()
    access_lines.flush()
    logs.configure({"format": "json", "level": "INFO"})
    (handler,) = root.handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(written)

    def lines() -> list[dict[str, Any]]:
        access_lines.flush()
        return [json.loads(line) for line in written.getvalue().splitlines()]

    yield lines
    logs.configure(settings.LOGGING)
    root.handlers[:] = around


class TestRequest:
    def test_takes_over_a_well_formed_id(self) -> None:
        response = CorrelationIdMiddleware(answer)(
            RequestFactory().get("/", headers={"X-Correlation-ID": "Order_1.a-b"})
        )
        assert response["X-Correlation-ID"] == "Order_1.a-b"
        assert response.content == b"Order_1.a-b"

    @pytest.mark.parametrize("offered", ["", "a b", "x" * 129, "ä", "a\nb", "<script>"])
    def test_makes_its_own_for_anything_else(self, offered: str) -> None:
        request = RequestFactory().get("/", headers={"X-Correlation-ID": offered})
        response = CorrelationIdMiddleware(answer)(request)
        assert str(uuid.UUID(response["X-Correlation-ID"])) == response.content.decode()

    def test_leaves_no_id_and_no_person_behind(self) -> None:
        CorrelationIdMiddleware(answer)(RequestFactory().get("/"))
        assert current_id() == ""
        assert add_correlation(None, "info", {"event": "afterwards"}) == {"event": "afterwards"}

    def test_writes_one_line_that_says_who_what_and_how_long(self, json_lines) -> None:
        request = RequestFactory().post(
            "/api/v1/leads/?search=ada", {"password": "hunter2"}, headers={"X-Correlation-ID": "one"}
        )
        CorrelationIdMiddleware(answer)(request)
        (line,) = json_lines()
        assert line.pop("latency_ms") >= 0
        assert line.pop("timestamp").endswith("Z")
        assert line == {
            "event": "request",
            "level": "info",
            "logger": "atrium.http",
            "correlation_id": "one",
            "user_id": "u1",
            "company_id": "c1",
            "method": "POST",
            "path": "/api/v1/leads/",
            "status_code": 200,
        }


class TestTheConsole:
    HOSTILE = "/\x1b[31m\r\nforged\x9b2J\u202etxt\x00"

    @pytest.fixture
    def written(self) -> Iterator[io.StringIO]:
        root = logging.getLogger()
        around = root.handlers[:]
        access_lines.flush()
        logs.configure({"format": "console", "level": "INFO"})
        (handler,) = root.handlers
        assert isinstance(handler, logging.StreamHandler)
        written = io.StringIO()
        handler.setStream(written)
        yield written
        logs.configure(settings.LOGGING)
        root.handlers[:] = around

    def test_is_never_sent_control_characters(self, written: io.StringIO) -> None:
        hostile = self.HOSTILE
        request = RequestFactory().get("/")
        request.path = hostile
        CorrelationIdMiddleware(answer)(request)
        access_lines.flush()
        structlog.get_logger("ours").warning(hostile, list=[hostile], text=hostile)
        logging.getLogger("theirs").warning("%s", hostile)
        assert len(written.getvalue().splitlines()) == 3
        try:
            raise ValueError(hostile)
        except ValueError:
            logging.getLogger("theirs").exception("failed")
        said = written.getvalue()
        assert "forged" in said
        assert not [char for char in said if not (char.isprintable() or char == "\n")]


class TestAccessLines:
    def test_come_by_themselves_in_their_order(self, json_lines, monkeypatch: pytest.MonkeyPatch) -> None:
        flushes = []
        flush = AccessLines.flush
        monkeypatch.setattr(AccessLines, "flush", lambda self: flushes.append(1) or flush(self))
        own = AccessLines()
        for number in range(300):
            own.add({"number": number})
        deadline = time.monotonic() + 20
        while own._waiting and time.monotonic() < deadline:
            time.sleep(0.01)
        assert [line["number"] for line in json_lines()] == list(range(300))
        assert 0 < len(flushes) < 30

    def printed(self, program: str) -> str:
        """What a process of its own writes to its log."""
        setup = (
            "import os, django; django.setup()\n"
            "from core.observability import logs; logs.configure({'format': 'json', 'level': 'INFO'})\n"
            "from core.observability.access_lines import access_lines\n"
        )
        command = [sys.executable, "-c", setup + program]
        return subprocess.run(command, capture_output=True, text=True, check=True).stderr

    def test_are_written_before_the_process_ends(self) -> None:
        assert "/last/" in self.printed("access_lines.add({'path': '/last/'})")

    def test_are_written_before_a_server_s_worker_ends(self) -> None:
        text = self.printed(
            "import multiprocessing\n"
            "work = lambda: access_lines.add({'path': '/last/'})\n"
            "worker = multiprocessing.get_context('fork').Process(target=work)\n"
            "worker.start(); worker.join()\n"
        )
        assert text.count("/last/") == 1

    def test_of_a_child_are_its_own(self) -> None:
        text = self.printed(
            "access_lines.add({'path': '/before/'})\n"
            "child = os.fork()\n"
            "access_lines.add({'path': '/behind/' if child else '/child/'})\n"
            "if child: os.waitpid(child, 0)\n"
        )
        assert [text.count(path) for path in ("/before/", "/behind/", "/child/")] == [1, 1, 1]


class TestTask:
    def test_runs_under_the_id_of_its_sender(self) -> None:
        with correlation("sender"):
            assert tell_correlation_id.delay().get() == "sender"

    def test_carries_the_id_in_its_message(self) -> None:
        headers: dict[str, str] = {}
        with correlation("sender"):
            task_signals._send_along(headers=headers)
        assert headers == {"crm_correlation_id": "sender"}

    def test_without_a_sender_gets_an_id_of_its_own(self) -> None:
        assert uuid.UUID(tell_correlation_id.delay().get())
        assert current_id() == ""


class TestLogs:
    def test_hide_secrets_by_their_name(self, json_lines) -> None:
        structlog.get_logger("x").info(
            "sign in", password="hunter2", refresh_token="abc", email="a@example.com"
        )
        (line,) = json_lines()
        assert line["password"] == line["refresh_token"] == "[hidden]"
        assert line["email"] == "a@example.com"

    def test_of_libraries_have_the_same_shape(self, json_lines) -> None:
        with correlation("one"):
            logging.getLogger("somewhere").warning("%s went wrong", "it")
        (line,) = json_lines()
        assert (line["event"], line["level"], line["logger"]) == ("it went wrong", "warning", "somewhere")
        assert line["correlation_id"] == "one"
