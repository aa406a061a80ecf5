"""Logs: for people on a terminal, one JSON object a line elsewhere; always on stderr.

The SDK's own warnings (Python's ``logging``) come out in the same shape.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import structlog

from definitions.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import Processor

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_FORMATS = ("auto", "console", "json")


def configure_logging(
    level: str = "INFO", style: str = "auto", *, hide: Callable[[str], str] = str
) -> None:
    """Sets up every log of this process.

    Args:
        level: The least that is shown: DEBUG, INFO, WARNING or ERROR.
        style: ``console``, ``json``, or ``auto``: the former where stderr is a terminal.
        hide: Takes out of a finished line what must not be in it.

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
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
        if style == "console"
        else [
            structlog.processors.EventRenamer("message"),
            structlog.processors.dict_tracebacks,
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


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InvalidInputError(f"{name} is {value!r:.40}", hint=f"use one of {', '.join(allowed)}")
