"""What benchmarks of the server share: an archive, and the archive's own program as a process."""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "entrypoints"))


def archive_of(folder: Path, side: int, classes: int) -> Path:
    """As train.py leaves it, but for what the weights have learnt."""
    import archive
    import model
    from training import packing

    torch.manual_seed(0)
    folder.mkdir()
    model.save_weights(model.build("resnet18", classes), folder / archive.WEIGHTS)
    card = {
        "format": archive.FORMAT,
        "architecture": {"name": "resnet18", "stem": "torchvision", "num_classes": classes},
        "classes": [f"class_{number:03d}" for number in range(classes)],
        "preprocessing": {
            "image_size": side,
            "stored_size": side * 8 // 7,
            "square": "crop",
            "mean": [0.485, 0.456, 0.406],
            "deviation": [0.229, 0.224, 0.225],
        },
        "weights": {"file": archive.WEIGHTS, "sha256": archive.sha256(folder / archive.WEIGHTS)},
    }
    (folder / archive.CARD).write_text(json.dumps(card))
    packing.copy_code(folder)
    return folder


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def process(command: list[str], log: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as file:
        started = subprocess.Popen(
            command, env={**os.environ, **variables}, stdout=file, stderr=file, start_new_session=True, cwd=log.parent
        )
    try:
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, 15)
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.wait(15)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, 9)


@contextlib.contextmanager
def ours(model: Path, log: Path, **variables: str) -> Iterator[tuple[int, int]]:
    """Port and process id of the archive's own program."""
    (port,) = free_ports(1)
    told = {"SM_MODEL_DIR": str(model), "DARKROOM_BIND": "127.0.0.1", "SAGEMAKER_BIND_TO_PORT": str(port), **variables}
    with process([sys.executable, str(model / "code/serve.py"), "serve"], log, **told) as started:
        until_answered(port, started, log)
        yield port, started.pid


def until_answered(port: int, started: subprocess.Popen[bytes], log: Path) -> None:
    pixels = io.BytesIO()
    np.save(pixels, np.zeros((32, 32, 3), np.uint8))
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", pixels.getvalue())
    asked.add_header("Content-Type", "application/x-npy")
    end = time.monotonic() + 300
    while time.monotonic() < end and started.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(asked, timeout=60):
            return
        time.sleep(0.3)
    sys.exit(f"{log.name} does not answer:\n{log.read_text(errors='replace')[-3000:]}")
