"""What was recorded is read again: by column, whole or torn, resumed, from several ranks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from health.recording import records
from health.recording.records import STEPS, SYSTEM, TENSORS, ClassesWriter, Records, Writer


def written(file: Path, schema: pa.Schema, rows: list[dict[str, Any]], resumed_at: int | None = None) -> None:
    writer = Writer(file, schema, resumed_at)
    for row in rows:
        writer.add(row)
    writer.close()


def steps(folder: Path, numbers: range, rank: int = 0, resumed_at: int | None = None, loss: float = 1.0) -> None:
    rows = [{"step": step, "mode": "train", "loss": loss, "examples": 8} for step in numbers]
    written(records.path(folder, "steps", rank), STEPS, rows, resumed_at)


def test_rows_come_back_by_column_and_what_they_lack_is_nothing(tmp_path: Path) -> None:
    steps(tmp_path, range(3))
    written(records.path(tmp_path, "system"), SYSTEM, [{"ended": 1.5, "cpu_each": [10, 20]}, {"ended": 2.0}])
    found = records.read(tmp_path)
    assert found.steps["loss"].tolist() == [1, 1, 1]
    assert np.isnan(found.steps["lr"]).all()
    assert found.steps["recorded"].tolist() == [False] * 3
    assert [each.tolist() for each in found.system["cpu_each"]] == [[10, 20], []]
    assert {name: str(column.dtype) for name, column in found.steps.items() if column.dtype != object} == {
        name: kind for name, kind in records.view.STEPS.items() if kind != "str"
    }


def test_columns_are_appended_beside_rows(tmp_path: Path) -> None:
    writer = Writer(records.path(tmp_path, "tensors"), TENSORS)
    for step in (0, 1):
        writer.extend(
            {"step": np.full(2, step), "kind": ["weight"] * 2, "name": ["a", "b"], "mean": np.array([1.0, 2])}
        )
    writer.add({"step": 2, "kind": "weight", "name": "b", "mean": 5.0})
    writer.close()
    found = records.read(tmp_path)
    assert found.names("weight") == ["a", "b"]
    at, means = found.series("weight", "b", "mean")
    assert (at.tolist(), means.tolist()) == ([0, 1, 2], [2, 2, 5])


def test_a_folder_without_files_has_no_rows(tmp_path: Path) -> None:
    found = records.read(tmp_path)
    assert found.losses()[0].tolist() == found.names("weight") == found.classes == []


def test_a_file_is_read_while_it_is_written(tmp_path: Path) -> None:
    writer = Writer(records.path(tmp_path, "steps"), STEPS, seconds=0)
    writer.add({"step": 0, "loss": 2.0, "mode": "train"})
    writer.add({"step": 1, "loss": 3.0, "mode": "train"})
    writer.flush()
    assert records.read(tmp_path).losses()[1].tolist() == [2, 3]
    writer.close()


def test_a_torn_file_is_read_up_to_its_last_whole_batch(tmp_path: Path) -> None:
    file = records.path(tmp_path, "steps")
    writer = Writer(file, STEPS)
    ends = {0: 0}
    for step in range(3):
        writer.add({"step": step, "mode": "train", "loss": 1.0})
        writer.flush()
        ends[file.stat().st_size] = step + 1
    writer.close()
    whole = file.read_bytes()
    edges = {end + near for end in (*ends, len(whole)) for near in (-1, 0, 1)}
    for size in sorted({*range(0, len(whole), 16), *edges} & {*range(len(whole) + 1)}):
        file.write_bytes(whole[:size])
        rows = max(rows for end, rows in ends.items() if end <= size)
        assert len(records.read(tmp_path).losses()[0]) == rows, size


@pytest.mark.parametrize("tail", (b"\x00" * 64, b"\xff" * 64, b"no Arrow at all, but what a broken disk has left"))
def test_rubbish_at_the_end_of_a_file_is_no_row(tmp_path: Path, tail: bytes) -> None:
    file = records.path(tmp_path, "steps")
    writer = Writer(file, STEPS)
    writer.add({"step": 0, "mode": "train", "loss": 1.0})
    writer.flush()
    content = file.read_bytes()
    writer.close()
    file.write_bytes(content + tail)
    assert records.read(tmp_path).losses()[0].tolist() == [0]


def test_a_resumed_training_goes_on_where_its_checkpoint_stood(tmp_path: Path) -> None:
    steps(tmp_path, range(10))
    steps(tmp_path, range(6, 8), resumed_at=6, loss=2.0)
    at, losses = records.read(tmp_path).losses()
    assert at.tolist() == list(range(8))
    assert losses.tolist() == [1] * 6 + [2] * 2


def test_a_training_that_begins_anew_forgets_the_one_before(tmp_path: Path) -> None:
    steps(tmp_path, range(10))
    steps(tmp_path, range(2))
    assert records.read(tmp_path).losses()[0].tolist() == [0, 1]


def test_counts_of_classes_are_resumed_and_a_torn_line_is_left_out(tmp_path: Path) -> None:
    file = records.path(tmp_path, "classes")
    first = ClassesWriter(file)
    for epoch in (1, 2):
        first.add({"step": 10 * epoch - 1, "epoch": epoch, "mode": "train", "shown": [epoch, 0]})
    first.close()
    again = ClassesWriter(file, resumed_at=10)
    again.close()
    with file.open("a") as end:
        end.write('{"step": 19, "epoch": 2, "mo')
    assert [row["epoch"] for row in records.read(tmp_path).classes] == [1]


def test_ranks_are_read_as_one_training(tmp_path: Path) -> None:
    """Means and deviations as those of all values together."""
    random = np.random.default_rng(0)
    parts = [random.normal(rank, 1 + rank, 100 * (rank + 1)) for rank in (0, 1)]
    for rank, part in enumerate(parts):
        steps(tmp_path, range(3), rank)
        row = {"step": 0, "kind": "input", "name": "conv", "layer": "Conv2d", "count": len(part) + rank}
        row |= {"mean": part.mean(), "mean_abs": abs(part).mean(), "std": part.std(), "non_finite": rank, "nan": rank}
        row |= {"min": part.min(), "max": part.max(), "zero_share": rank / 2}
        rows = [row, {"step": 1, "kind": "weight", "name": "w", "count": 3, "mean": 7.0}][: 2 - rank]
        written(records.path(tmp_path, "tensors", rank), TENSORS, rows)
        classes = ClassesWriter(records.path(tmp_path, "classes", rank))
        classes.add({"step": 2, "epoch": 1, "mode": "validation", "shown": [1, rank], "confusion": [[1, 0], [rank, 0]]})
        classes.close()
    found = records.read(tmp_path)
    every = np.concatenate(parts)
    row = {name: column[0] for name, column in found.of_kind("input").items()}
    for name, value in (("mean", every.mean()), ("mean_abs", abs(every).mean()), ("std", every.std())):
        assert row[name] == pytest.approx(value, rel=1e-5)
    assert (row["min"], row["max"]) == (pytest.approx(every.min()), pytest.approx(every.max()))
    assert (row["count"], row["non_finite"], row["nan"]) == (301, 1, 1)
    assert row["zero_share"] == pytest.approx(200 / 300 / 2)
    assert np.isnan(row["p5"])
    assert found.series("weight", "w", "mean")[1].tolist() == [7]
    assert found.steps["examples"].tolist() == [16] * 3
    assert found.classes[0]["shown"] == [2, 1]
    assert found.classes[0]["confusion"] == [[2, 0], [1, 0]]
    assert sorted(found.ranks) == [0, 1]


def test_classes_are_lines_of_json(tmp_path: Path) -> None:
    writer = ClassesWriter(records.path(tmp_path, "classes"))
    writer.add({"step": 1, "epoch": 1, "mode": "train", "shown": [3, 4]})
    assert json.loads((tmp_path / "classes.jsonl").read_text()) == {
        "step": 1, "epoch": 1, "mode": "train", "shown": [3, 4]
    }  # fmt: skip
    writer.close()


def test_records_are_made_of_some_columns_one_value_standing_for_all_rows() -> None:
    made = Records.of(steps={"loss": [1, 2, 3]}, tensors={"kind": "gradient", "name": ["a", "b"], "mean_abs": [1, 2]})
    assert made.losses()[0].tolist() == [0, 1, 2]
    assert made.names("gradient") == ["a", "b"]
    assert np.isnan(made.tensors["p5"]).all()
    assert made.losses("validation")[0].tolist() == []


@pytest.mark.parametrize("columns", ({"lost": [1]}, {"loss": [1, 2], "lr": [1]}))
def test_records_of_unknown_or_uneven_columns_are_refused(columns: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="column"):
        Records.of(steps=columns)


def equal(one: Records, other: Records) -> None:
    assert one.classes == other.classes and list(one.ranks) == list(other.ranks)
    for name in ("steps", "tensors", "system"):
        for column, values in getattr(one, name).items():
            np.testing.assert_array_equal(values, getattr(other, name)[column], column)


@pytest.mark.parametrize("ranks", (1, 3))
def test_a_reader_goes_on_where_it_stopped_and_sees_what_a_whole_reading_does(tmp_path: Path, ranks: int) -> None:
    """Ranks write at their own pace; each row is read once, however often somebody looks."""
    reader, looks = records.Reader(tmp_path), 0
    writers = [
        (
            Writer(records.path(tmp_path, "steps", rank), STEPS, seconds=60),
            Writer(records.path(tmp_path, "tensors", rank), TENSORS, seconds=60),
            ClassesWriter(records.path(tmp_path, "classes", rank)),
        )
        for rank in range(ranks)
    ]
    for step in range(60):
        for rank, (table, tensors, classes) in enumerate(writers):
            table.add({"step": step, "mode": "train", "loss": step, "examples": rank + 1})
            names = ["conv", "fc"][: 1 + (rank == 0)]
            tensors.extend({"step": np.full(len(names), step), "kind": ["input"] * len(names), "name": names,
                            "count": np.full(len(names), 9), "mean": np.full(len(names), rank + step)})  # fmt: skip
            if step % 20 == 19:
                table.add({"step": step, "mode": "validation", "loss": 0.5, "examples": 3})
                classes.add({"step": step, "epoch": step // 20, "mode": "train", "shown": [rank, step]})
            if step % (2 * rank + 1) == 0:
                table.flush()
                tensors.flush()
        if step % 4 == 3:
            looks += 1
            equal(reader.look(), records.read(tmp_path))
    for table, tensors, classes in writers:
        table.close()
        tensors.close()
        classes.close()
    found = reader.look()
    equal(found, records.read(tmp_path))
    assert found.steps["examples"][found.steps["mode"] == "train"].tolist() == [sum(range(ranks + 1))] * 60
    assert (looks, reader.rows) == (15, ranks * 63 + ranks * 60 + 60)


def test_a_reader_gives_a_torn_batch_once_it_is_whole(tmp_path: Path) -> None:
    file, reader = records.path(tmp_path, "steps"), records.Reader(tmp_path)
    steps(tmp_path, range(3))
    whole = file.read_bytes()
    for size in range(0, len(whole), 40):
        file.write_bytes(whole[:size])
        assert len(reader.look().steps["step"]) in (0, 3)
    file.write_bytes(whole)
    assert reader.look().steps["step"].tolist() == [0, 1, 2] and reader.rows == 3


def test_a_file_of_other_columns_is_read_by_its_names(tmp_path: Path) -> None:
    """As a training of an older version left it, which goes on here."""
    older = pa.schema([("loss", pa.float32()), ("step", pa.int32()), ("odd", pa.string())])
    with pa.OSFile(str(records.path(tmp_path, "steps")), "wb") as sink, pa.ipc.new_stream(sink, older) as stream:
        stream.write_batch(pa.record_batch([pa.array([2.0]), pa.array([7]), pa.array(["x"])], schema=older))
    found = records.Reader(tmp_path).look().steps
    assert (found["step"].tolist(), found["loss"].tolist(), found["mode"].tolist()) == ([7], [2.0], [""])
