"""The tables of a training's health: Arrow streams that a killed job leaves readable, written by rank, read as one."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from health import view
from health.recording import merging
from health.recording.columns import arrow, lacking, plain
from health.view import Columns, Records

__all__ = ["STEPS", "SYSTEM", "TENSORS", "ClassesWriter", "Records", "Writer", "path", "read"]

TYPES = {"str": pa.string(), "bool": pa.bool_(), "object": pa.list_(pa.float32())}
TYPES |= {"int64": pa.int64(), "int32": pa.int32(), "float64": pa.float64(), "float32": pa.float32()}
STEPS, TENSORS, SYSTEM = (
    pa.schema([(name, TYPES[kind]) for name, kind in table.items()])
    for table in (view.STEPS, view.TENSORS, view.SYSTEM)
)
SECONDS = 5.0  # between two writes to the file: what a killed job loses
ROWS = 4096  # kept in memory at most
COMPRESSION = "zstd" if pa.Codec.is_available("zstd") else None


def path(folder: Path, table: str, rank: int = 0) -> Path:
    """`table`: steps, tensors, system or classes. The first rank's file has no number."""
    return folder / f"{table}{f'-{rank}' if rank else ''}{'.jsonl' if table == 'classes' else '.arrow'}"


class Writer:
    """Rows of one table, kept for a few seconds and then appended to its file as one batch."""

    def __init__(self, file: Path, schema: pa.Schema, resumed_at: int | None = None, seconds: float = SECONDS) -> None:
        """Begins the file anew; where a training goes on at step `resumed_at`, with its rows of the steps before."""
        self.file = file
        self.schema = schema
        self.seconds = seconds
        self.rows: list[Mapping[str, Any]] = []
        self.batches: list[pa.RecordBatch] = [] if resumed_at is None else list(_before(file, schema, resumed_at))
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(file.name + ".partial")
        self.sink = partial.open("wb")
        options = pa.ipc.IpcWriteOptions(compression=COMPRESSION)
        self.stream = pa.ipc.new_stream(self.sink, schema, options=options)
        self.flush()
        os.replace(partial, file)

    def add(self, row: Mapping[str, Any]) -> None:
        """Columns that it lacks read as NaN, 0, "" or False."""
        self.rows.append(row)
        self._flush_if_due()

    def extend(self, columns: Mapping[str, NDArray[Any] | list[Any]]) -> None:
        """Several rows at once, by column."""
        self._gather()
        self._append(columns)
        self._flush_if_due()

    def flush(self) -> None:
        self._gather()
        batches, self.batches = self.batches, []
        self.flushed = time.monotonic()
        for batch in pa.Table.from_batches(batches, self.schema).combine_chunks().to_batches():
            self.stream.write_batch(batch)
        self.sink.flush()

    def close(self) -> None:
        self.flush()
        self.stream.close()
        self.sink.close()

    def bytes(self) -> int:
        """Written so far."""
        return self.sink.tell()

    def _gather(self) -> None:
        if self.rows:
            names = [(field.name, lacking(field.type)) for field in self.schema]
            self._append({name: [row.get(name, nothing) for row in self.rows] for name, nothing in names})
            self.rows = []

    def _append(self, given: Mapping[str, NDArray[Any] | list[Any]]) -> None:
        rows = len(next(iter(given.values())))
        arrays = [
            arrow(given[field.name] if field.name in given else [lacking(field.type)] * rows, field.type)
            for field in self.schema
        ]
        self.batches.append(pa.RecordBatch.from_arrays(arrays, schema=self.schema))

    def _flush_if_due(self) -> None:
        held = len(self.rows) + sum(len(batch) for batch in self.batches)
        if held >= ROWS or time.monotonic() - self.flushed > self.seconds:
            self.flush()


class ClassesWriter:
    """classes.jsonl: a line for each epoch and mode, written at once."""

    def __init__(self, file: Path, resumed_at: int | None = None) -> None:
        kept = [] if resumed_at is None else [row for row in _lines(file) if row["step"] < resumed_at]
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(file.name + ".partial")
        self.sink = partial.open("w", encoding="utf-8")
        for row in kept:
            self.add(row)
        os.replace(partial, file)

    def add(self, row: Mapping[str, Any]) -> None:
        self.sink.write(json.dumps(row) + "\n")
        self.sink.flush()

    def close(self) -> None:
        self.sink.close()


def read(folder: Path) -> Records:
    """Of all ranks, as far as their files go: a file that is missing, or was begun and never written, has no rows.

    Also while they are written. Of several ranks, rows of the same step and tensor become one, as merging.py says.
    """
    numbers = sorted(_ranks(folder))
    steps = {rank: _columns(path(folder, "steps", rank), STEPS) for rank in numbers}
    tensors = [_columns(path(folder, "tensors", rank), TENSORS) for rank in numbers]
    classes = [list(_lines(path(folder, "classes", rank))) for rank in numbers]
    system = _columns(path(folder, "system"), SYSTEM)
    ranks = steps if len(steps) > 1 else {}
    return Records(
        merging.steps(list(steps.values())), merging.tensors(tensors), system, merging.classes(classes), ranks
    )


def _ranks(folder: Path) -> set[int]:
    numbers = (file.stem.partition("-")[2] for file in folder.glob("*-*.*") if not file.name.endswith(".partial"))
    return {0} | {int(number) for number in numbers if number.isdecimal()}


def _columns(file: Path, schema: pa.Schema) -> Columns:
    batches = pa.Table.from_batches(list(_batches(file, schema)), schema).combine_chunks().to_batches()
    return {field.name: plain(batches[0].column(field.name) if batches else arrow([], field.type)) for field in schema}


def _batches(file: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Up to the last whole one; columns by name."""
    with contextlib.suppress(FileNotFoundError, pa.ArrowInvalid, OSError, EOFError), file.open("rb") as source:
        reader = pa.ipc.open_stream(source)
        while True:
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                return
            yield pa.RecordBatch.from_arrays(
                [
                    batch.column(field.name).cast(field.type)
                    if field.name in batch.schema.names
                    else arrow([lacking(field.type)] * len(batch), field.type)
                    for field in schema
                ],
                schema=schema,
            )


def _before(file: Path, schema: pa.Schema, step: int) -> Iterator[pa.RecordBatch]:
    for batch in _batches(file, schema):
        if "step" not in schema.names:
            yield batch
        else:
            yield batch.filter(arrow(plain(batch.column("step")) < step, pa.bool_()))


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    """Whole ones."""
    with contextlib.suppress(FileNotFoundError):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
            if line.endswith("\n"):
                with contextlib.suppress(json.JSONDecodeError):
                    yield json.loads(line)
