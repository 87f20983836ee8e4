"""The files that smdebug's hook leaves, read without smdebug: index/*/*.json say where in events/ each tensor lies.

The files are a training's, whose code may be anybody's: nothing outside the folder is read, nothing is believed of a
size before the bytes are there, and what is torn raises Torn.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

LARGEST = 2**31  # bytes of one tensor: what protobuf itself can hold
INDEX = 64 * 2**20  # bytes of one index file
TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 4: "u1", 5: "<i2", 6: "i1", 9: "<i8", 10: "?", 17: "<u2", 19: "<f2", 22: "<u4"}
TYPES |= {23: "<u8"}  # TensorFlow's DataType
MODES = ("TRAIN", "EVAL", "PREDICT", "GLOBAL")
FIXED = {1: 8, 5: 4}  # wire types of protobuf that have a size of their own


class Torn(Exception):
    """A file that cannot be read as smdebug writes it; the message says which and why."""


class Tensor(NamedTuple):
    name: str
    values: NDArray[Any]
    written: float  # time.time()


class Step(NamedTuple):
    """What one worker saved at one step. `number` counts the steps of all modes, `mode_step` those of its own."""

    number: int
    worker: str
    mode: str
    mode_step: int
    places: list[tuple[str, int, int]]  # name, and where in the file
    events: Path


def steps(folder: Path) -> list[Step]:
    """In the order of their numbers. Raises Torn."""
    files = sorted(folder.glob("index/*/*.json"))
    return sorted(map(_step, files), key=lambda step: (step.number, step.worker))


def tensors(step: Step, wanted: Any = None) -> Iterator[Tensor]:
    """`wanted`: of which names; else of all. Raises Torn."""
    chosen = [place for place in step.places if wanted is None or wanted(place[0])]
    if not chosen:
        return
    try:
        if step.events.exists() and not step.events.is_file():  # a pipe would be waited for
            raise Torn(f"{_said(step.events)}: no file")
        with step.events.open("rb") as file:
            size = file.seek(0, 2)
            for name, start, length in chosen:
                if not (start >= 0 and 16 <= length <= LARGEST and start + length <= size):
                    raise Torn(f"{_said(step.events)}: {name} should end at byte {start + length:,} of {size:,}")
                file.seek(start)
                yield _tensor(name, file.read(length), step.events)
    except OSError as error:
        raise Torn(f"{_said(step.events)}: {error.strerror or error}") from error


def _step(file: Path) -> Step:
    number, _, worker = file.stem.partition("_")
    try:
        if not file.is_file() or file.stat().st_size > INDEX:
            raise Torn(f"{_said(file)}: no file, or one larger than {INDEX:,} bytes")
        body = json.loads(file.read_bytes())
        meta = body["meta"]
        mode, mode_step = str(meta["mode"]).strip(), int(meta["mode_step"])
        payload = body.get("tensor_payload") or ()
        places = [(str(each["tensorname"]), int(each["start_idx"]), int(each["length"])) for each in payload]
        events = file.parents[2] / str(meta.get("event_file_name", ""))
        if mode not in MODES or not 0 <= mode_step < 2**53 or not 0 <= int(number) < 2**53:
            raise Torn(f"{_said(file)}: mode {mode!r}, step {mode_step} are none of smdebug's")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise Torn(f"{_said(file)}: no index of smdebug's ({type(error).__name__}: {error})") from error
    if not events.resolve().is_relative_to(file.parents[2].resolve()):
        raise Torn(f"{_said(file)}: its tensors lie outside the folder")
    return Step(int(number), worker, mode, mode_step, places, events)


def _tensor(name: str, record: bytes, file: Path) -> Tensor:
    """A record of a TFRecord file: length and check sum of it, an event in protobuf, a check sum that says nothing."""
    try:
        (length,) = struct.unpack("<Q", record[:8])
        if length != len(record) - 16:
            raise ValueError(f"a record of {length:,} bytes in {len(record):,}")
        event = dict(_fields(memoryview(record)[12:-4]))
        value = dict(_fields(dict(_fields(event[5]))[1]))
        if str(value[1], "utf-8") != name:  # a number there is no text, and not that many bytes either
            raise ValueError(f"it is {bytes(value[1][:100])!r}")
        return Tensor(name, _values(value[8]), struct.unpack("<d", event[1])[0])
    except (ValueError, LookupError, TypeError, struct.error, AttributeError, ArithmeticError) as error:
        raise Torn(f"{_said(file)}: {name} cannot be read ({type(error).__name__}: {error})") from error


def _values(body: memoryview) -> NDArray[Any]:
    kind: int = 0
    shape: list[int] = []
    content: memoryview | bytes = b""
    for field, value in _fields(body):
        if field == 1:
            kind = value
        elif field == 2:
            shape = [dict(_fields(dimension)).get(1, 0) for number, dimension in _fields(value) if number == 2]
        elif field == 4:
            content = value
    if kind not in TYPES:
        raise ValueError(f"values of type {kind}")
    return np.frombuffer(content, TYPES[kind]).reshape(shape)


def _fields(body: memoryview) -> Iterator[tuple[int, Any]]:
    """Number and value of each field of a message: protobuf's wire format."""
    place = 0
    value: Any
    while place < len(body):
        key, place = _number(body, place)
        wire = key & 7
        if wire == 0:
            value, place = _number(body, place)
        else:
            if wire == 2:
                size, place = _number(body, place)
            else:
                size = FIXED[wire]
            value, place = body[place : place + size], place + size
            if place > len(body):
                raise ValueError(f"field {key >> 3} ends beyond its message")
        yield key >> 3, value


def _number(body: memoryview, place: int) -> tuple[int, int]:
    found = 0
    for shift in range(0, 70, 7):
        found |= (body[place] & 127) << shift
        place += 1
        if body[place - 1] < 128:
            return found, place
    raise ValueError("a number of more than ten bytes")


def _said(file: Path) -> str:
    return "/".join(file.parts[-3:])
