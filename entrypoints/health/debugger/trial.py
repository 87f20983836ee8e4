"""Saved tensors as our rules look at a training: the same figures as the recorder takes, of the same rows."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from health import view
from health.debugger import names, saved
from health.debugger.names import Names
from health.debugger.saved import Step, Torn
from health.recording import merging, recorded, samples
from health.recording.recorded import Limits, Record, Row
from health.recording.samples import Taken
from health.recording.statistics import Floats
from health.rules.scaling import Job
from health.view import Columns, Records

NOTES = "darkroom.json"  # beside the tensors, by health.debugger.hook: names, and the job's length
LOSS = re.compile("(?:.*/)?.*[Ll]oss_(?!input).*output.*")  # smdebug's collection losses
ORDER = {"weight": 0, "gradient": 1}  # and then layers as they ran, as the recorder has it
RATE = names.SCALAR + names.LR
UNITS = ("ReLU", "ReLU6")


class Trial(NamedTuple):
    """`said`: a sentence of how much there was, for rules that lack something."""

    records: Records
    job: Job
    said: str


class Part(NamedTuple):
    """What one step has of the tensors that rules look at, weights first."""

    step: int
    rows: list[Row]
    taken: list[Taken]

    def samples(self) -> dict[str, torch.Tensor]:
        return {
            row.name: taken.sample for row, taken in zip(self.rows, self.taken, strict=True) if row.kind == "weight"
        }


def read(folder: Path, limits: Limits) -> Trial:
    """Raises Torn where there is nothing, or a file that cannot be read."""
    steps = saved.steps(folder)
    if not steps:
        raise Torn("no tensors were saved")
    known, job = _notes(folder / NOTES)
    workers: dict[str, list[Step]] = {}
    for step in steps:
        workers.setdefault(step.worker, []).append(step)
    first = workers[min(workers, key=_rank)]
    table = _steps(first)
    tensors = merging.tensors([_tensors(workers[name], known, limits) for name in sorted(workers, key=_rank)])
    records = Records(table, tensors, view.filled({}, view.SYSTEM), [])
    said = f"saved: {_count(table['step'][table['mode'] == 'train'])} of the training, "
    said += (
        f"{_count(table['step'][table['mode'] == 'validation'])} of validation, tensors at {_count(tensors['step'])}"
    )
    return Trial(records, _job(job, records, first), said)


def _notes(file: Path) -> tuple[Names | None, dict[str, Any]]:
    if not file.is_file():
        return None, {}
    try:
        body = json.loads(file.read_bytes())
        job = {name: value for name, value in body["job"].items() if name in Job._fields}
        if not all(_fits(name, value) for name, value in job.items()):
            raise ValueError("its job is no table of numbers")
        return names.read(body["names"]), job
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Torn(f"{file.name} is not as the hook wrote it ({type(error).__name__}: {error})") from error


def _fits(name: str, value: Any) -> bool:
    if value is None:
        return name in Job._field_defaults and Job._field_defaults[name] is None
    return isinstance(value, (int, float)) and abs(value) < 2**53


def _job(noted: dict[str, Any], records: Records, steps: list[Step]) -> Job:
    """What was not noted is what was saved."""
    train = [step.mode_step + 1 for step in steps if step.mode != "EVAL"]
    validations = int((records.steps["mode"] == "validation").sum())
    job = Job(**{"steps": max(train, default=0), "epochs": max(1, validations), **noted})
    gaps = np.diff(np.unique(records.tensors["step"]))
    return job._replace(every=int(gaps.min()) if len(gaps) else 0, now=None)


def _steps(steps: list[Step]) -> Columns:
    """Losses. The number of a step is that of its mode and of all others before it."""
    rows = [row for row in map(_losses, steps) if row is not None]
    ends = sorted({row["before"] for row in rows if row["mode"] == "validation"})
    losses: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in rows:
        losses.setdefault((row["mode"], row["before"] if row["mode"] == "validation" else row["step"]), []).append(row)
    merged = []
    for (mode, at), group in losses.items():
        validated = mode == "validation"
        epoch = 1 + (ends.index(at) if validated else int(np.searchsorted(ends, at, "right")))
        mean = float(np.mean([row["loss"] for row in group]))
        step = at - 1 if validated else at
        merged.append({**group[-1], "step": step, "epoch": epoch, "loss": mean})
    wanted = ("step", "epoch", "mode", "loss", "lr", "ended")
    return view.filled({name: [row[name] for row in merged] for name in wanted}, view.STEPS)


def _losses(step: Step) -> dict[str, Any] | None:
    values: list[float] = []
    lr, written = math.nan, math.nan
    for tensor in saved.tensors(step, lambda name: name == RATE or bool(LOSS.fullmatch(name))):
        if tensor.values.dtype.kind not in "fiu" or not tensor.values.size:
            raise Torn(f"{tensor.name} of step {step.number} is no number")
        if tensor.name == RATE:
            lr = float(tensor.values.flat[0])
        else:
            values.append(float(tensor.values.mean(dtype=np.float64)))
            written = tensor.written
    if not values:
        return None
    mode = "validation" if step.mode in ("EVAL", "PREDICT") else "train"
    before = step.number - step.mode_step
    row = {"step": step.mode_step, "before": before, "mode": mode, "loss": float(np.mean(values)), "lr": lr}
    return {**row, "ended": written}


def _tensors(steps: list[Step], known: Names | None, limits: Limits) -> Columns:
    tables: list[recorded.Table] = []
    before: Floats | None = None
    waiting: Part | None = None  # for the weights of the next step that has them: the update is the difference
    for part in _parts(steps, known):
        after = part.samples()
        if not after:
            tables.append(_columns(part, {}, limits, None)[0])
            continue
        if waiting is not None:
            table, before = _columns(waiting, after, limits, before)
            tables.append(table)
        waiting = part
    if waiting is not None:
        tables.append(_columns(waiting, {}, limits, before)[0])
    return _joined(tables)


def _parts(steps: Iterable[Step], known: Names | None) -> Iterator[Part]:
    for step in steps:
        found: list[tuple[Row, Taken]] = []
        if step.mode == "EVAL":
            continue
        for tensor in saved.tensors(step, lambda name: _looked_at(name, known)):
            row = names.row(tensor.name, known)
            if row is not None and tensor.values.dtype.kind == "f":
                values = torch.from_numpy(np.array(tensor.values))
                found.append((row, samples.take(values, units=row.kind == "output" and row.layer in UNITS)))
        if found:
            found.sort(key=lambda pair: ORDER.get(pair[0].kind, 2))
            yield Part(step.mode_step, [row for row, _ in found], [taken for _, taken in found])


def _looked_at(name: str, known: Names | None) -> bool:
    return name != RATE and not LOSS.fullmatch(name) and names.row(name, known) is not None


def _columns(
    part: Part, after: dict[str, torch.Tensor], limits: Limits, before: Floats | None
) -> tuple[recorded.Table, Floats]:
    own = part.samples()
    fits = all(name in after and len(after[name]) == len(sample) for name, sample in own.items())
    moved = samples.together([after[name] for name in own]) if own and fits else None
    return recorded.columns(Record(part.step, part.rows, 1.0, samples.sent(part.taken), moved), limits, before)


def _joined(tables: list[recorded.Table]) -> Columns:
    if not tables:
        return view.filled({}, view.TENSORS)
    joined = {
        name: np.concatenate([np.asarray(table[name], _dtype(name)) for table in tables]) for name in view.TENSORS
    }
    order = np.argsort(joined["step"], kind="stable")
    return {name: column[order] for name, column in joined.items()}


def _dtype(name: str) -> Any:
    return object if view.TENSORS[name] == "str" else view.TENSORS[name]


def _rank(worker: str) -> tuple[int, str]:
    number = worker.rpartition("_")[2]
    return (int(number) if number.isdecimal() else 0, worker)


def _count(steps: NDArray[Any]) -> str:
    count = len(np.unique(steps))
    return f"{count:,} step{'s' * (count != 1)}"
