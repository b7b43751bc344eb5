"""One shape for every log line, ours and the libraries': JSON in production, readable at a terminal.

Settings name `configure` as `LOGGING_CONFIG`; Django calls it once with `LOGGING`.
"""

import logging
import logging.config
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from typing import Any

import orjson
import structlog

from core.observability.correlation import add_correlation

# Names that never reach a log, whoever passes them.
_SECRET_WORDS = ("password", "secret", "token", "authorization", "api_key", "cookie", "body")

# Characters that move a terminal's cursor, change its colors or turn its text around, as they may be written: whoever sends
# one in a path or a header says nothing to whoever reads the log.
_CONTROLS = {
    code: f"\\u{code:04x}"
    for code in (
        *range(0x20),
        *range(0x7F, 0xA0),
        0x2028,
        0x2029,
        *range(0x202A, 0x202F),
        *range(0x2066, 0x206A),
    )
}
# Of a line as it is written: tracebacks have lines of their own.
_CONTROLS_OF_LINES = {code: shown for code, shown in _CONTROLS.items() if chr(code) not in "\n\t"}

# What our own lines go through.
_processors: list[structlog.typing.Processor] = []


def configure(options: Mapping[str, str]) -> None:
    """Set up structlog and the standard library's logging. `options` holds `format` and `level`."""
    shared: list[structlog.typing.Processor] = [
        add_correlation,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.MaybeTimeStamper(fmt="iso", utc=True),
        structlog.stdlib.PositionalArgumentsFormatter(),
        _hide_secrets,
    ]
    if options["format"] == "json":
        final: list[structlog.typing.Processor] = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_as_json),
        ]
        # Not looked for, since no line says them: process, thread and place in the code ("Optimization" in Python's
        # logging how-to).
        logging.logProcesses = logging.logMultiprocessing = False
        logging.logThreads = False
        logging._srcfile = None
    else:
        # Without the rich traceback, which prints the values of local variables.
        plain = structlog.dev.plain_traceback
        final = [_escape_values, structlog.dev.ConsoleRenderer(colors=False, exception_formatter=plain)]
    final.append(_escape_line)
    # In place, so that loggers which have written already follow.
    _processors[:] = [structlog.stdlib.filter_by_level, *shared, *final, _as_line]
    structlog.configure(
        processors=_processors,
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    level = options["level"]
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "structured": {
                    "()": _Formatter,
                    "foreign_pre_chain": shared,
                    "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
            "root": {"handlers": ["stderr"], "level": level},
            "loggers": {
                # The access line and the task line say these already.
                "django.request": {"level": "ERROR"},
                "django.server": {"level": "ERROR"},
                "celery.app.trace": {"level": "WARNING"},
                "celery.worker.strategy": {"level": "WARNING"},
                "httpx": {"level": "WARNING"},
            },
        }
    )


def _escape_values(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Nobody but us begins a line."""
    for name, value in event.items():
        if isinstance(value, str) and name not in ("exception", "stack"):
            event[name] = value.translate(_CONTROLS)
    return event


def _escape_line(_logger: Any, _method: str, line: Any) -> str:
    return str(line).translate(_CONTROLS_OF_LINES)


def _as_line(_logger: Any, _method: str, line: Any) -> tuple[tuple[str], dict[str, Any]]:
    """The last processor of our own lines: they are written as they are."""
    return (line,), {"extra": {"is_line": True}}


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Gives the libraries' lines the shape that ours have already."""

    def format(self, record: logging.LogRecord) -> str:
        return str(record.msg) if hasattr(record, "is_line") else super().format(record)


def _hide_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name in event:
        if _is_secret(name):
            event[name] = "[hidden]"
    return event


@lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    lowered = name.lower()
    return any(word in lowered for word in _SECRET_WORDS)


def _as_json(event: Any, **_options: Any) -> str:
    return orjson.dumps(event, default=str).decode()
