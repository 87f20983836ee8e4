"""Child process of champion.py: asks an unpacked archive's own handlers about squares that come on stdin."""

from __future__ import annotations

import io
import json
import resource
import struct
import sys
from pathlib import Path
from typing import BinaryIO

LENGTH = struct.Struct("<Q")  # before each .npy body; 0 ends them
LARGEST_FILE = 256 * 2**20  # bytes that the archive's code may write into one file: its answers, and no more


def send(stream: BinaryIO, body: bytes) -> None:
    stream.write(LENGTH.pack(len(body)))
    stream.write(body)


def main(argv: list[str]) -> int:
    """`argv`: the archive's folder, and the file for a JSON list with the name of one class for each picture."""
    folder, answers = Path(argv[0]), Path(argv[1])
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Started with -P: its handlers and what they import come from the archive, and not from this program's folder.
    sys.path.insert(0, str(folder / "code"))
    import inference

    predictor = inference.model_fn(str(folder))
    found: list[str] = []
    for body in received(sys.stdin.buffer):
        answered = inference.predict_fn(inference.input_fn(body, "application/x-npy"), predictor)
        answer = inference.output_fn(answered, "application/json")
        text = answer[0] if isinstance(answer, tuple) else answer  # older archives say no content type
        rows = json.loads(text)["predictions"]
        found += [row["class"] for row in rows]
    answers.write_text(json.dumps(found), encoding="utf-8")
    return 0


def received(stream: BinaryIO | io.BufferedIOBase):  # type: ignore[no-untyped-def]
    while (head := stream.read(LENGTH.size)) and (length := LENGTH.unpack(head)[0]):
        yield stream.read(length)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
