"""The log: one JSON object a line, on stderr, with nothing of what a request held."""

from __future__ import annotations

import json
import logging
import sys
import time


def say(level: str, message: str, **figures: object) -> None:
    """One write, so that lines of several threads stay whole."""
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"
    line = {"time": stamp, "level": level, "message": " ".join(message.split()), **figures}
    sys.stderr.write(json.dumps(line, ensure_ascii=False) + "\n")
    sys.stderr.flush()


class Lines(logging.Handler):
    """What libraries log (uvicorn's warnings, tracebacks of our own mistakes), in the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        about = {"logger": record.name}
        if record.exc_info:
            about["traceback"] = logging.Formatter().formatException(record.exc_info)
        say(record.levelname.lower(), record.getMessage(), **about)
