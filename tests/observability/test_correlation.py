"""One id through a request, its log lines and the tasks it sends."""

import io
import json
import logging
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
from core.observability.access_lines import access_lines
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
