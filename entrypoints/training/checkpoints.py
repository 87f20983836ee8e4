"""Checkpoints of a training: one file, whole or absent, taken up again only by the training that wrote it.

In the loop, where `folder` is None for a training without checkpoints:

    folder = checkpoints.place(env)               # or what --checkpoint-dir says
    mark = checkpoints.fingerprint(settings, {"train": manifest, "validation": other_manifest})
    found = checkpoints.resume(folder, mark)      # None: from the beginning
    due = checkpoints.every(args.checkpoint_minutes)
    if due(): checkpoints.save(folder, mark, {"epoch": epoch, "step": step, "random": checkpoints.random_states(), ...})
    checkpoints.remove(folder)                    # once the model is saved
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import struct
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from refusal import Refusal

NAME = "checkpoint.pt"
MAGIC = b"darkroom checkpoint 1 "  # then the SHA-256 of all that follows its line: torch compares no checksums
# What torch.load raises for files that somebody made up: found by turning every bit of one.
UNREADABLE = (RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError, AssertionError)
UNREADABLE = (*UNREADABLE, ArithmeticError, MemoryError, pickle.UnpicklingError, struct.error)


def place(env: Mapping[str, str]) -> Path | None:
    """The folder that SageMaker keeps in step with S3; None when the job has no CheckpointConfig, as trials have none.

    AWS's own images find it in this file, too (sagemaker-xgboost-container, smdebug).
    """
    config = Path(env.get("SM_INPUT_CONFIG_DIR", "")) / "checkpointconfig.json"
    if not env.get("SM_INPUT_CONFIG_DIR") or not config.is_file():
        return None
    return Path(json.loads(config.read_text(encoding="utf-8"))["LocalPath"])


def fingerprint(settings: Mapping[str, object], data: Mapping[str, Path], world: int = 1) -> dict[str, str]:
    """What has to be equal for two trainings to be the same one: code, hyperparameters, data and number of processes.

    `data`: what each input is called, and a file whose content stands for it: a split's manifest (it holds the
    digests of all shards), a weights file. Where the files lie does not matter.
    """
    read = {f"data {name}": _sha256(path) for name, path in data.items()}
    chosen = {name: repr(value) for name, value in settings.items()}
    return {"code": _code(Path(__file__).parents[1]), "processes": str(world), **read, **chosen}


def resume(folder: Path | None, fingerprint: Mapping[str, str]) -> dict[str, Any] | None:
    """The state that was saved last, its tensors on the CPU; None to start afresh, and one line that says why."""
    if folder is None or not (path := folder / NAME).is_file():
        return None
    try:
        written, state = _read(path)
    except Refusal as refusal:
        return _afresh(path, str(refusal))
    if written != fingerprint:
        different = [name for name in fingerprint if written.get(name) != fingerprint[name]] or ["other settings"]
        return _afresh(path, f"of another training; not equal: {', '.join(different)[:200]}")
    return state


def save(folder: Path | None, fingerprint: Mapping[str, str], state: Mapping[str, Any]) -> None:
    """Replaces the last checkpoint. `state` holds tensors, numbers, texts, and lists and dicts of them, nothing else.

    Whatever moment the process, or the machine, ends at: the old file is there or the new one, never half of one.
    Raises OSError when the disk is full.
    """
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save({"fingerprint": dict(fingerprint), "state": dict(state)}, buffer)
    content = buffer.getbuffer()
    with _partial(folder).open("wb") as file:
        file.write(MAGIC + hashlib.sha256(content).hexdigest().encode() + b"\n")
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(_partial(folder), folder / NAME)
    _sync(folder)


def remove(folder: Path | None) -> None:
    """After a success: SageMaker deletes the copy in S3 as well, so that the next job starts from the beginning."""
    if folder is not None:
        for path in (folder / NAME, _partial(folder)):
            path.unlink(missing_ok=True)


def every(minutes: float) -> Callable[[], bool]:
    """Asked at each step: have this many minutes passed since it last said so? 0: never."""
    last = time.monotonic()

    def due() -> bool:
        nonlocal last
        now = time.monotonic()
        if not minutes or now - last < 60 * minutes:
            return False
        last = now
        return True

    return due


def random_states(**generators: torch.Generator) -> dict[str, Any]:
    """Of torch itself (CPU, and every GPU that it sees), and of these generators by their names."""
    own = {name: generator.get_state() for name, generator in generators.items()}
    return {"torch": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all(), "generators": own}


def set_random_states(states: Mapping[str, Any], **generators: torch.Generator) -> None:
    """Goes on drawing where `random_states` was called."""
    torch.set_rng_state(states["torch"])
    for device, state in zip(range(torch.cuda.device_count()), states["cuda"], strict=False):
        torch.cuda.set_rng_state(state, device)
    for name, generator in generators.items():
        generator.set_state(states["generators"][name])


def _read(path: Path) -> tuple[dict[str, str], dict[str, Any]]:
    with path.open("rb") as file:
        head = file.readline(len(MAGIC) + 65)
        content = file.read()
    if head != MAGIC + hashlib.sha256(content).hexdigest().encode() + b"\n":
        raise Refusal("damaged, or no checkpoint of this program")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old pickle protocols: what they cannot do is refused below
            whole = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except UNREADABLE as error:  # its text is left out: torch proposes to load without weights_only
        raise Refusal(f"holds more than tensors, numbers and texts, or less ({type(error).__name__})") from None
    if not isinstance(whole, dict) or not all(isinstance(whole.get(name), dict) for name in ("fingerprint", "state")):
        raise Refusal("holds no fingerprint or no state")
    return whole["fingerprint"], whole["state"]


def _afresh(path: Path, why: str) -> None:
    print(f"{path}: {why}: training starts from the beginning", file=sys.stderr, flush=True)


def _partial(folder: Path) -> Path:
    """Beside the file: a checkpoint folder may be a mount of its own, and nothing is renamed across mounts."""
    return folder / f"{NAME}.partial"


def _sync(folder: Path) -> None:
    """The rename itself reaches the disk with its folder."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _code(folder: Path) -> str:
    """All modules of the import root: in a job, just those that the program may import."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        content = path.read_bytes()
        total.update(f"{path.relative_to(folder).as_posix()} {len(content)}\n".encode() + content)
    return total.hexdigest()


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise Refusal(f"{path}: missing: run PrepareData again, or check the channel's address") from None
