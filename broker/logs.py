"""
Structured logs: one JSON object a line, whoever wrote it.

What may hold a secret is taken out by its name here, as a second line of defence; the first is that nobody
logs it.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

REDACTED = "(not shown)"

# Matched against the end of a field's name, whatever its case and punctuation.
_SECRET = re.compile(
    r"(password|passwd|pwd|secret|secrets|token|tokens|credentials?|parameters|authorization|cookie|uri|dsn|jdbcurl"
    r"|databaseurl|connectionstring|sealingkeys?|apikey|accesskey|privatekey|originatingidentity|value)$"
)
_USERINFO = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)[^/\s@]+@", re.IGNORECASE)
_SCHEME = re.compile(r"\b(?P<scheme>Bearer|Basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE)
_LIBPQ = re.compile(r"\b(?P<name>password|sslpassword)=(?:'[^']*'|[^\s&;]+)", re.IGNORECASE)


def redacted(value: Any) -> Any:
    """Return *value* without what its names or its form betray as a secret."""
    if isinstance(value, dict):
        return {name: REDACTED if _is_secret(name) else redacted(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted(item) for item in value]
    if isinstance(value, str):
        value = _USERINFO.sub(rf"\g<scheme>{REDACTED}@", value)
        value = _SCHEME.sub(rf"\g<scheme> {REDACTED}", value)
        return _LIBPQ.sub(rf"\g<name>={REDACTED}", value)
    return value


def _is_secret(name: object) -> bool:
    return _SECRET.search(re.sub(r"[^a-z]", "", str(name).lower())) is not None


def _redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {
        name: REDACTED if name != "event" and _is_secret(name) else redacted(item)
        for name, item in event.items()
    }


def _drop_repetition(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Take away uvicorn's second copy of each event, made for terminals."""
    event.pop("color_message", None)
    return event


def configure_logs(level: str, form: str) -> None:
    """
    Send every log of this process to standard error, as JSON or (`text`) for people.

    A second call replaces the first. Logs of the standard library, uvicorn's and Azure's among them, take the same
    way and lose the same secrets.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    # Local variables of a traceback may be secrets: the plain formatter shows none.
    last: list[Processor] = [structlog.processors.format_exc_info, _drop_repetition, _redact]
    renderer: Processor = (
        structlog.processors.JSONRenderer(default=str)
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last, renderer],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "alembic"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # These tell each request with its whole address at level info; Azure's is redacted only by a list of names.
    for name in ("httpx", "httpcore", "azure", "msal", "uvicorn.access"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
