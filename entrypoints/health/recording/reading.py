"""The tables' files, read on from where the last look ended: rules that are asked at each record read each row once."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sized
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from health.recording.columns import arrow, lacking, plain
from health.view import Columns


class Growing:
    """Columns with room at their ends, so that adding rows copies those before them but now and then."""

    def __init__(self, first: Columns) -> None:
        self.store, self.count = dict(first), rows_of(first)

    def append(self, rows: Columns) -> None:
        end = self.count + rows_of(rows)
        if end == self.count:  # the first columns may be somebody else's, and read-only
            return
        for name, column in rows.items():
            if end > len(self.store[name]):
                larger = np.empty(2 * end, column.dtype)
                larger[: self.count] = self.store[name][: self.count]
                self.store[name] = larger
            self.store[name][self.count : end] = column
        self.count = end

    def columns(self) -> Columns:
        """Nobody may change them: the next look gives them out again."""
        shown = {name: column[: self.count] for name, column in self.store.items()}
        for column in shown.values():
            column.flags.writeable = False
        return shown


class Rows:
    """Of one Arrow stream, up to its last whole batch: none of a file that is missing, or begun and never written."""

    def __init__(self, file: Path, schema: pa.Schema) -> None:
        self.file, self.schema = file, schema
        self.end = 0  # what was read
        self.table = Growing(_columns([], schema))

    def look(self) -> Columns:
        """All rows so far; from the file come those that are new."""
        new = list(batches(self.file, self.schema, self.end))
        if new:
            self.table.append(_columns([batch for batch, _ in new], self.schema))
            self.end = new[-1][1]
        return self.table.columns()


class Lines:
    """Of one file of JSON lines, whole ones."""

    def __init__(self, file: Path) -> None:
        self.file, self.end = file, 0
        self.rows: list[dict[str, Any]] = []

    def look(self) -> list[dict[str, Any]]:
        with contextlib.suppress(FileNotFoundError), self.file.open("rb") as source:
            source.seek(self.end)
            new = source.read()
            whole = new[: new.rfind(b"\n") + 1]
            self.end += len(whole)
            for line in whole.decode("utf-8", "replace").split("\n"):
                with contextlib.suppress(json.JSONDecodeError):
                    self.rows.append(json.loads(line))
        return list(self.rows)


def batches(file: Path, schema: pa.Schema, begin: int = 0) -> Iterator[tuple[pa.RecordBatch, int]]:
    """From this byte on, with the byte at which each ends; columns by name. A torn one is none, nor what follows it."""
    with contextlib.suppress(FileNotFoundError, pa.ArrowInvalid, OSError, EOFError), pa.OSFile(str(file)) as source:
        written = pa.ipc.read_schema(source)
        source.seek(begin or source.tell())
        while True:
            batch = pa.ipc.read_record_batch(pa.ipc.read_message(source), written)
            yield _by_name(batch, schema), source.tell()


def rows_of(columns: Mapping[str, Sized]) -> int:
    return len(next(iter(columns.values())))


def _by_name(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    known = set(batch.schema.names)
    columns = [
        batch.column(field.name).cast(field.type)
        if field.name in known
        else arrow([lacking(field.type)] * len(batch), field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _columns(read: list[pa.RecordBatch], schema: pa.Schema) -> Columns:
    whole = pa.Table.from_batches(read, schema).combine_chunks().to_batches()
    return {field.name: plain(whole[0].column(field.name) if whole else arrow([], field.type)) for field in schema}
