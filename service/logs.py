"""What the processes tell: set up once, at the start of a process; modules only ask for their logger."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

import msgspec

from config.schema import LogSettings


class JsonLines(logging.Formatter):
    """One JSON object a line, for a log collector. Text of a record stays one field, so that no line can be forged."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


class TextLines(logging.Formatter):
    """A line for people; line breaks within a message are indented, so that they show as part of it."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        return super().format(record).replace("\n", "\n    ")


def set_up_logging(settings: LogSettings) -> None:
    """Send our loggers to stderr, and of libraries what is a warning."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if settings.format == "json" else TextLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("salience").setLevel(settings.level.upper())
    # They tell every attempt to reconnect as an error; our connectors say once, as a PortError, what it means. librdkafka
    # has being fenced, which is in order, as critical.
    for library in ("kafka", "librdkafka"):
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)
