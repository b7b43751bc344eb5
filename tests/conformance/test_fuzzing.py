"""The OpenAPI document and the service agree: schemathesis makes requests out of the one and checks what the other
answers. A few for each operation always, a hundred with `--long`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import lru_cache
from typing import Any

import pytest
import schemathesis
from django.core import signals
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, reset_queries, transaction
from django.http import HttpResponse
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given, settings, strategies
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import Failure, FailureGroup

from core.jobs.health import BEAT, WORKER
from core.jobs.operations import beat
from core.rest.metadata import EntitiesView
from core.rest.schema.views import openapi_document
from core.tenancy.context import system_context
from tests.conformance.calls import NoControl, control
from tests.conformance.operations import Operation, operations
from tests.conformance.rooms import Rooms

SHORT, LONG = 6, 100
# Checks that cannot hold here.
EXCLUDED = {
    "positive_data_acceptance": "rules between fields, and whether a record is there, are beyond JSON Schema",
    "object_level_authorization": "held by the isolation matrix, for every slot",
    "max_response_time": "other tests measure time",
}


@lru_cache(maxsize=1)
def documented() -> tuple[tuple[str, str, Operation], ...]:
    """Path and method as the document has them, with the operation."""
    document: Any = openapi_document()
    served = {(item.method.lower(), re.sub(r"{\w+}", "{}", item.path)): item for item in operations()}
    return tuple(
        (path, method, served[method, re.sub(r"{\w+}", "{}", path)])
        for path, item in document["paths"].items()
        for method in item
        if (method, re.sub(r"{\w+}", "{}", path)) in served
    )


def without_lengths(part: Any) -> Any:
    """The document without the greatest lengths of texts.

    With them it takes seconds to make the generator of one body, and a text that long is hardly ever drawn; texts one
    character too long are sent by `TestLengths` of `test_hostile_input`. What such a schema refuses, the true one does too.
    """
    if isinstance(part, dict):
        return {
            name: without_lengths(value)
            for name, value in part.items()
            if name != "maxLength" or not isinstance(value, int)
        }
    return [without_lengths(value) for value in part] if isinstance(part, list) else part


@pytest.fixture(scope="module")
def api(rooms: Rooms) -> Iterator[Any]:
    """The document, bound to the service; what a request changes is gone when it is answered."""
    for part in (WORKER, BEAT):
        # Otherwise the health check rightly answers 503.
        with system_context("a sign of life for a test"):
            beat(part, now=timezone.now() + timedelta(hours=1))
    service: Any = get_wsgi_application()

    def undone(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        with transaction.atomic():
            body = b"".join(service(environ, start_response))
            transaction.set_rollback(True)
        return [body]

    receivers = [
        (signals.request_started, close_old_connections),
        (signals.request_finished, close_old_connections),
    ]
    receivers.append((signals.request_started, reset_queries))
    for signal, receiver in receivers:
        signal.disconnect(receiver)
    schema = schemathesis.openapi.from_dict(without_lengths(openapi_document()))
    schema.app = undone
    load_all_checks()
    yield schema
    for signal, receiver in receivers:
        signal.connect(receiver)


def exercise(api: Any, path: str, method: str, operation: Operation, rooms: Rooms, examples: int) -> None:
    """Raises: the failure of a check that does not hold."""
    token = (
        {} if operation.is_public else {"Authorization": rooms.client("admin").defaults["HTTP_AUTHORIZATION"]}
    )
    checks = [check for check in CHECKS.get_all() if getattr(check, "__name__", "") not in EXCLUDED]
    try:
        ours = list(control(operation, rooms.acme).path.values())
    except NoControl:
        ours = []

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(data=strategies.data())
    def run(data: Any) -> None:
        mode = data.draw(strategies.sampled_from([GenerationMode.POSITIVE, GenerationMode.NEGATIVE]))
        case = data.draw(api[path][method.upper()].as_strategy(generation_mode=mode))
        if mode is GenerationMode.POSITIVE and ours and data.draw(strategies.booleans()):
            # A record that is there, so that the request goes all the way.
            case.path_parameters = dict(zip(case.path_parameters, ours, strict=True))
        if (
            path.endswith("/bulk/")
            and isinstance(case.body, dict)
            and case.body.get("atomic", False) is False
        ):
            # Otherwise what is refused stands in an answer of 200.
            case.body = {**case.body, "atomic": True}
        case.call_and_validate(base_url="http://testserver", headers=token, checks=checks)

    run()


class TestDocumentAndService:
    @pytest.mark.parametrize(
        ("path", "method", "operation"), documented(), ids=[item[2].name for item in documented()]
    )
    def test_agree(
        self,
        path: str,
        method: str,
        operation: Operation,
        api: Any,
        rooms: Rooms,
        request: pytest.FixtureRequest,
    ) -> None:
        examples = LONG if request.config.getoption("--long") else SHORT
        exercise(api, path, method, operation, rooms, examples)

    def test_are_seen_to_differ(self, api: Any, rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            EntitiesView, "get", lambda self, request: HttpResponse("[]", content_type="application/json")
        )
        item = next(item for item in documented() if item[2].name == "GET /metadata/entities/")
        with pytest.raises((Failure, FailureGroup)):
            exercise(api, *item, rooms, 25)
