"""Structured logs: one JSON object a line, on standard error."""

import logging
import sys

import structlog

from newtond.output import Output


def configure(level: str) -> None:
    """Log from this level up; context variables (worker, job_id, attempt) are on every line."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(Output(sys.stderr)),  # type: ignore[arg-type]
    )
