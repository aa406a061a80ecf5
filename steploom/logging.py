"""Logs: for people on a terminal, one JSON object a line elsewhere; always on stderr.

The SDK's own warnings (Python's ``logging``) come out in the same shape.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import structlog

from definitions.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import EventDict, Processor, WrappedLogger

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_FORMATS = ("auto", "console", "json")
#: Without local variables: they hold what tasks were given, cut where no secret is recognised.
_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def configure_logging(
    level: str = "INFO", style: str = "auto", *, hide: Callable[[str], str] = str
) -> None:
    """Sets up every log of this process.

    Args:
        level: The least that is shown: DEBUG, INFO, WARNING or ERROR.
        style: ``console``, ``json``, or ``auto``: the former where stderr is a terminal.
        hide: Takes out of a text what must not be logged.

    Raises:
        InvalidInputError: Not one of these.
    """
    level, style = level.upper(), style.lower()
    _one_of("STEPLOOM_LOG_LEVEL", level, _LEVELS)
    _one_of("STEPLOOM_LOG_FORMAT", style, _FORMATS)
    if style == "auto":
        style = "console" if sys.stderr.isatty() else "json"
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    ending: list[Processor] = (
        [
            _hiding(hide),
            # Plain, for one that is folded to a terminal's width folds secrets as well.
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ]
        if style == "console"
        else [
            structlog.processors.EventRenamer("message"),
            _TRACEBACKS,
            _hiding(hide),
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ]
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *ending,
                lambda _logger, _method, line: hide(str(line)),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # It names every request; who asks for DEBUG means our own.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("httpcore").setLevel(logging.WARNING)


def _hiding(hide: Callable[[str], str]) -> Processor:
    """Hides in every text of an event, before it is quoted. The finished line is looked at, too."""

    def hidden(value: Any) -> Any:
        if isinstance(value, str):
            return hide(value)
        if isinstance(value, dict):
            return {hidden(name): hidden(member) for name, member in value.items()}
        if isinstance(value, list):
            return [hidden(item) for item in value]
        return value

    def process(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {hidden(name): hidden(value) for name, value in event.items()}

    return process


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InvalidInputError(f"{name} is {value!r:.40}", hint=f"use one of {', '.join(allowed)}")
