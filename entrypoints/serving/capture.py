"""Requests and answers in files, as SageMaker's data capture writes them: bounded, and no request waits for it."""

from __future__ import annotations

import base64
import json
import os
import queue
import random
import threading
import time
import uuid
from pathlib import Path
from typing import NamedTuple

from serving import journal

WAITING = 64  # records; at 6 MB each
FILE_SECONDS = 300.0  # a file holds what came in so long
KIND = "jsonl"


class Record(NamedTuple):
    """An invocation that was answered with 200."""

    body: bytes
    content_type: str
    answer: bytes
    answer_type: str


class Capture:
    """`share` of what `offer` is given, until the folder holds `most` bytes; what does not fit is counted and gone."""

    def __init__(self, folder: Path, share: float, most: int) -> None:
        self.kept = self.dropped = 0
        self._folder = folder
        self._share = share
        self._left = most - sum(path.stat().st_size for path in folder.glob(f"*.{KIND}"))
        self._waiting: queue.Queue[Record | None] = queue.Queue(WAITING)
        self._chance = random.Random()
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._thread.start()

    def offer(self, record: Record) -> None:
        """Returns at once."""
        if self._chance.random() >= self._share:
            return
        try:
            self._waiting.put_nowait(record)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """What was offered is written."""
        self._waiting.put(None)
        self._thread.join(10)

    def _run(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            while (record := self._waiting.get()) is not None:
                self._write(_line(record))
        except OSError as error:  # a full disk must not end the service
            journal.say("error", f"nothing more is captured: {error}")
            while self._waiting.get() is not None:
                self.dropped += 1

    def _write(self, line: bytes) -> None:
        if len(line) > self._left:
            self.dropped += 1
            return
        name = time.strftime("%Y-%m-%d-%H-%M", time.gmtime(time.time() // FILE_SECONDS * FILE_SECONDS))
        with open(self._folder / f"{name}-{os.getpid()}.{KIND}", "ab") as file:
            file.write(line)
        self._left -= len(line)
        self.kept += 1


def _line(record: Record) -> bytes:
    """The members of SageMaker's own files, so that what reads those reads these."""
    parts = {
        "endpointInput": _part(record.content_type, "INPUT", record.body),
        "endpointOutput": _part(record.answer_type, "OUTPUT", record.answer),
    }
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    about = {"eventId": str(uuid.uuid4()), "inferenceTime": now}
    return json.dumps({"captureData": parts, "eventMetadata": about, "eventVersion": "0"}).encode() + b"\n"


def _part(content_type: str, mode: str, content: bytes) -> dict[str, str]:
    data = base64.b64encode(content).decode()
    return {"observedContentType": content_type, "mode": mode, "data": data, "encoding": "BASE64"}
