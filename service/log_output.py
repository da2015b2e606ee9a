"""Where the processes write what they log: stderr, as text for people or as JSON for a collector."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

import msgspec

from config.schema import LogSettings

_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class JsonLines(logging.Formatter):
    """One JSON object a line, with listed fields only: what is not listed can't leak."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def begin(settings: LogSettings) -> None:
    """Let this process log; called once, by the command that serves."""
    output = logging.StreamHandler(sys.stderr)
    output.setFormatter(JsonLines() if settings.format == "json" else logging.Formatter(_TEXT))
    logging.basicConfig(level=logging.WARNING, handlers=[output], force=True)
    logging.getLogger("salience").setLevel(settings.level.upper())
