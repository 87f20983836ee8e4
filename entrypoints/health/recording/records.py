"""The tables of a training's health: Arrow streams that a killed job leaves readable, written by rank, read as one."""

from __future__ import annotations

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
from health.recording.columns import arrow, joined, lacking, plain
from health.recording.reading import Lines, Rows, batches, rows_of
from health.view import Records

__all__ = ["STEPS", "SYSTEM", "TENSORS", "ClassesWriter", "Reader", "Records", "Writer", "path", "read"]

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
        self.tables: list[Mapping[str, NDArray[Any] | list[Any]]] = []
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
        if self.tables:
            self._gather()
        self.rows.append(row)
        self._flush_if_due()

    def extend(self, columns: Mapping[str, NDArray[Any] | list[Any]]) -> None:
        """Several rows at once, by column, and each time by the same ones. They become Arrow's when they are written:
        of twenty records at once that takes little more time than of one."""
        if self.rows:
            self._gather()
        self.tables.append(columns)
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
        if self.tables:
            self._append({name: joined([table[name] for table in self.tables]) for name in self.tables[0]})
        self.rows, self.tables = [], []

    def _append(self, given: Mapping[str, NDArray[Any] | list[Any]]) -> None:
        rows = len(next(iter(given.values())))
        arrays = [
            arrow(given[field.name] if field.name in given else [lacking(field.type)] * rows, field.type)
            for field in self.schema
        ]
        self.batches.append(pa.RecordBatch.from_arrays(arrays, schema=self.schema))

    def _flush_if_due(self) -> None:
        held = len(self.rows) + sum(rows_of(table) for table in self.tables) + sum(len(batch) for batch in self.batches)
        if held >= ROWS or time.monotonic() - self.flushed > self.seconds:
            self.flush()


class ClassesWriter:
    """classes.jsonl: a line for each epoch and mode, written at once."""

    def __init__(self, file: Path, resumed_at: int | None = None) -> None:
        kept = [] if resumed_at is None else [row for row in Lines(file).look() if row["step"] < resumed_at]
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
    return Reader(folder).look()


class Reader:
    """Of the tables of one training while it runs: each look reads, and merges, what is new."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._begin({0})

    @property
    def rows(self) -> int:
        """That were read from Arrow streams, in all looks."""
        return sum(each.table.count for each in (*self.steps.values(), *self.tensors.values(), self.system))

    def look(self) -> Records:
        """As `read`; nobody may change the columns."""
        numbers = _ranks(self.folder)
        if numbers != set(self.steps):  # of another rank the first file has come
            self._begin(numbers)
        steps = {rank: table.look() for rank, table in self.steps.items()}
        tensors = [table.look() for table in self.tensors.values()]
        lines = [each.look() for each in self.classes]
        if sum(map(len, lines)) > self.lines:
            self.lines, self.counted = sum(map(len, lines)), merging.classes(lines)
        return Records(
            self.merged_steps.look(list(steps.values())),
            self.merged_tensors.look(tensors),
            self.system.look(),
            self.counted,
            steps if len(steps) > 1 else {},
        )

    def _begin(self, ranks: set[int]) -> None:
        self.steps = {rank: Rows(path(self.folder, "steps", rank), STEPS) for rank in sorted(ranks)}
        self.tensors = {rank: Rows(path(self.folder, "tensors", rank), TENSORS) for rank in sorted(ranks)}
        self.classes = [Lines(path(self.folder, "classes", rank)) for rank in sorted(ranks)]
        self.system = Rows(path(self.folder, "system"), SYSTEM)
        self.merged_steps, self.merged_tensors = merging.Merged(merging.steps), merging.Merged(merging.tensors)
        self.lines = 0  # of classes, that `counted` is of
        self.counted: list[dict[str, Any]] = []


def _ranks(folder: Path) -> set[int]:
    numbers = (file.stem.partition("-")[2] for file in folder.glob("*-*.*") if not file.name.endswith(".partial"))
    return {0} | {int(number) for number in numbers if number.isdecimal()}


def _before(file: Path, schema: pa.Schema, step: int) -> Iterator[pa.RecordBatch]:
    for batch, _ in batches(file, schema):
        if "step" not in schema.names:
            yield batch
        else:
            yield batch.filter(arrow(plain(batch.column("step")) < step, pa.bool_()))
