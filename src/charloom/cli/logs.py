"""What a server writes to standard error: a line an event, for people or as JSON.

Nothing that a client sent can begin a line or look like another field.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any

UNSAFE = re.compile(r"[^!#-~]|=")  # whatever could end a value, or begin another
TRACEBACK_INDENT = "    "


def set_up(*, as_json: bool) -> None:
    """Log charloom's events and other libraries' warnings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(AsJson() if as_json else Readable())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("charloom").setLevel(logging.INFO)


class Readable(logging.Formatter):
    """2026-11-24 05:35:14.123 info request method=POST path=/v1/completions status=200 …"""

    def format(self, record: logging.LogRecord) -> str:
        """One line; a traceback follows it indented."""
        moment = datetime.fromtimestamp(record.created, UTC)
        time = f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03}"
        words = [time, record.levelname.lower(), " ".join(record.getMessage().split())]
        words += [f"{name}={_value(value)}" for name, value in _told(record).items()]
        lines = [" ".join(words)]
        if record.exc_info:
            lines += self.formatException(record.exc_info).splitlines()
        return f"\n{TRACEBACK_INDENT}".join(lines)


class AsJson(logging.Formatter):
    """The same as one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, a traceback in it."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        told = {"time": moment, "level": record.levelname.lower(), "event": record.getMessage()}
        told |= _told(record)
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told)


def _told(record: logging.LogRecord) -> dict[str, Any]:
    found: dict[str, Any] = getattr(record, "told", {})
    return found


def _value(value: Any) -> str:
    text = str(value)
    return json.dumps(text) if not text or UNSAFE.search(text) else text
