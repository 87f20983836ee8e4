"""Columns go into Arrow and come back as they were, slices of them too; and pyarrow itself reads what was made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from health.recording.columns import arrow, lacking, plain

LISTS = pa.list_(pa.float32())
COLUMNS = [
    (pa.int64(), [-1, 2**40, 0]),
    (pa.int32(), [5, -6, 7]),
    (pa.float64(), [0.1, float("inf"), -2.5]),
    (pa.float32(), [0.5, -0.25, 4.0]),
    (pa.bool_(), [True, False, True] * 7),
    (pa.string(), ["weight", "", "größer", "weight"]),
    (LISTS, [[1.0, 2.0], [], [0.5]]),
]


def listed(column: Any) -> list[Any]:
    return [value.tolist() if isinstance(value, np.ndarray) else value for value in column.tolist()]


@pytest.mark.parametrize(("kind", "values"), COLUMNS, ids=str)
def test_a_column_comes_back_as_it_was(kind: pa.DataType, values: list[Any]) -> None:
    made = arrow(values, kind)
    made.validate(full=True)
    assert (made.type, made.to_pylist()) == (kind, values)
    assert listed(plain(made)) == values
    assert listed(plain(made.slice(1, 2))) == values[1:3]


@pytest.mark.parametrize("kind", [kind for kind, _ in COLUMNS], ids=str)
def test_no_rows_are_no_rows_and_what_is_lacking_has_its_type(kind: pa.DataType) -> None:
    assert (len(arrow([], kind)), len(plain(arrow([], kind)))) == (0, 0)
    assert len(plain(arrow([lacking(kind)] * 3, kind))) == 3


def test_what_is_read_may_be_changed() -> None:
    made = arrow(np.arange(3), pa.int64())
    plain(made)[0] = 7
    assert made.to_pylist() == [0, 1, 2]
