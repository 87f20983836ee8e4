"""Statistics of tensors are numpy's, of whatever they hold and wherever they lie."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from health import view
from health.recording import samples, statistics
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from torch import Tensor

ANY = st.floats(width=32, allow_subnormal=True)
TENSORS = arrays.arrays(np.float32, st.integers(0, 40), elements=ANY)
Row = dict[str, Any]


def rows(*tensors: Tensor) -> list[Row]:
    got = samples.fetched(samples.sent([samples.take(each) for each in tensors]))
    columns = statistics.described(got.figures, got.sizes, got.content)
    return [
        {"count": got.counts[row], **{name: column[row] for name, column in columns.items()}}
        for row in range(len(tensors))
    ]


def expected(values: NDArray[Any]) -> Row:
    """numpy's, in float64."""
    finite = values[np.isfinite(values)].astype(np.float64)
    counts = {"count": values.size, "non_finite": values.size - finite.size, "nan": int(np.isnan(values).sum())}
    if not finite.size:
        return counts
    p5, p95 = np.percentile(finite, (5, 95))
    ends = {"min": finite.min(), "max": finite.max(), "p5": p5, "p95": p95}
    moments = {"mean": finite.mean(), "mean_abs": np.abs(finite).mean(), "std": finite.std()}
    return {**counts, **ends, **moments, "zero_share": (finite == 0).mean()}


def agree(found: Row, wanted: Row) -> None:
    largest = max(abs(wanted.get("min", 0)), abs(wanted.get("max", 0)))
    smallest = float(np.finfo(np.float32).tiny)  # sums of smaller ones lose their last digits
    allowed = max(2e-6 * float(largest), smallest)
    for name, value in found.items():
        if name not in wanted:
            assert math.isnan(value), name
        else:
            assert value == pytest.approx(wanted[name], rel=1e-5, abs=allowed), name


@settings(max_examples=150, deadline=None)
@given(st.lists(TENSORS, min_size=1, max_size=5))
def test_small_tensors_have_numpys_statistics(tensors: list[NDArray[np.float32]]) -> None:
    """Any values: NaN, infinite, the largest and the smallest of float32; together, as in a record."""
    found = rows(*(torch.from_numpy(values) for values in tensors))
    for row, values in zip(found, tensors, strict=True):
        agree(row, expected(values))


@pytest.mark.parametrize("dtype", (torch.bfloat16, torch.float16, torch.float64))
def test_other_precisions_are_computed_in_float32(dtype: torch.dtype) -> None:
    values = torch.randn(1000, generator=torch.Generator().manual_seed(0)).to(dtype)
    values[7], values[9] = math.inf, math.nan
    agree(rows(values)[0], expected(values.float().numpy()))


@pytest.mark.parametrize("shape", ((), (1,), (0,), (3, 0, 2), (2, 3, 4, 5)))
def test_shapes_do_not_matter(shape: tuple[int, ...]) -> None:
    values = torch.randn(shape)
    agree(rows(values)[0], expected(values.numpy()))


def test_of_large_tensors_the_sample_speaks_and_extremes_and_counts_are_exact() -> None:
    values = torch.randn(300, 1000, generator=torch.Generator().manual_seed(0))
    values[17, 3], values[200, 5] = -77.0, 88.0
    values[5, 5] = math.nan
    values[6, 6:8] = math.inf
    row = rows(values)[0]
    assert (row["count"], row["min"], row["max"]) == (300_000, -77, 88)
    assert (row["non_finite"], row["nan"]) == (3, 1)
    places = samples.chosen(300_000, view.SAMPLE, torch.device("cpu"))
    seen = values.flatten()[places]
    agree(
        {**row, **dict.fromkeys(("count", "min", "max", "non_finite", "nan"), 0)},
        {**expected(seen.numpy()), **dict.fromkeys(("count", "min", "max", "non_finite", "nan"), 0)},
    )
    assert row["mean_abs"] == pytest.approx(math.sqrt(2 / math.pi), rel=0.05)
    assert row["p95"] == pytest.approx(1.645, abs=0.1)


def test_a_sample_knows_as_much_of_a_normal_distribution_as_it_says() -> None:
    """Root mean squares over 100 tensors: a sample that is no fair one, or a smaller one, is further off."""
    random, error = torch.Generator().manual_seed(0), []
    for size in range(20_000, 30_000, 100):
        values = torch.randn(size, generator=random)
        row = rows(values)[0]
        below = (values < row["p5"]).double().mean().item()
        error.append([row["mean_abs"] / values.abs().mean() - 1, row["std"] / values.std() - 1, below - 0.05])
    found = np.sqrt(np.mean(np.square(error), axis=0))
    np.testing.assert_allclose(found, [0.024, 0.022, 0.007], rtol=0.25)


def test_a_sample_has_different_places_of_all_stretches_and_always_the_same() -> None:
    samples.chosen.cache_clear()
    first = samples.chosen(2_359_296, 4096, torch.device("cpu")).numpy().copy()
    samples.chosen.cache_clear()
    random = torch.get_rng_state(), np.random.get_state()[1].copy()
    assert (samples.chosen(2_359_296, 4096, torch.device("cpu")).numpy() == first).all()
    assert torch.equal(torch.get_rng_state(), random[0])
    assert (np.random.get_state()[1] == random[1]).all()
    assert (np.diff(first) > 0).all()
    assert first[0] < 2_359_296 / 4096
    assert 2_359_296 * (1 - 1 / 4096) <= first[-1] < 2_359_296


def test_a_tensor_is_all_zero_only_where_all_of_it_is() -> None:
    nearly = torch.zeros(100_000)
    nearly[int(np.setdiff1d(np.arange(100_000), samples.chosen(100_000, view.SAMPLE, nearly.device).numpy())[0])] = 1e-3
    zero, almost = rows(torch.zeros(100_000), nearly)
    assert np.float32(zero["zero_share"]) == 1
    assert np.float32(almost["zero_share"]) < 1


@pytest.mark.parametrize("most", (math.inf, 6.0), ids=("ReLU", "ReLU6"))
@pytest.mark.parametrize("odd", ((), (math.inf, -math.inf), (math.nan,)), ids=str)
@pytest.mark.parametrize("shape", ((7, 3), (40, 8, 6, 6)), ids=str)
def test_what_a_relu_gave_follows_from_what_it_was_given(shape: tuple[int, ...], odd: Any, most: float) -> None:
    values = 5 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values.view(-1)[: len(odd)] = torch.tensor(odd)
    output = values.clamp(0, most)
    both = [samples.rectified(samples.take(values), output, most), samples.take(output, units=True)]
    got = samples.fetched(samples.sent(both))
    np.testing.assert_array_equal(*got.figures)
    np.testing.assert_array_equal(*np.split(got.content, 2))
    np.testing.assert_array_equal(got.active[0], got.active[1])


def test_what_is_taken_does_not_change_with_the_tensor() -> None:
    for size in (10, 10_000):
        values = torch.ones(size)
        taken = samples.take(values)
        values.mul_(5)
        assert samples.fetched(samples.sent([taken])).content.max() == 1


@pytest.mark.parametrize(
    ("shape", "active"), [((0,), []), ((2, 0), [[]]), ((0, 3), [[0, 0, 0]]), ((2, 3, 0, 0), [[0, 0, 0]])]
)
def test_a_layer_that_gives_nothing_has_no_values(shape: tuple[int, ...], active: list[list[float]]) -> None:
    got = samples.fetched(samples.sent([samples.take(torch.zeros(shape), units=True)]))
    assert [list(shares) for shares in got.active.values()] == active
    (row,) = rows(torch.zeros(shape))
    assert [row.pop(name) for name in ("count", "non_finite", "nan")] == [0, 0, 0]
    assert all(map(math.isnan, row.values())), row


def test_a_tensor_in_channels_last_is_read_in_place() -> None:
    values = torch.randn(2, 8, 5, 5).to(memory_format=torch.channels_last)
    flat = samples.flattened(values)
    assert flat.data_ptr() == values.data_ptr()
    assert torch.equal(flat.sort().values, values.flatten().sort().values)


@pytest.mark.parametrize("dtype", (torch.float32, torch.bfloat16))
@pytest.mark.parametrize("shape", ((40, 6), (4, 6, 5, 5), (3, 7, 6)), ids=str)
def test_units_are_active_in_as_many_places_as_numpy_counts(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    output = torch.randn(shape).relu().to(dtype)
    units = output.movedim(1 if len(shape) == 4 else -1, -1)
    units[..., 2] = 0
    got = samples.fetched(samples.sent([samples.take(torch.zeros(3)), samples.take(output, units=True)]))
    assert list(got.active) == [1]
    wanted = (units.float().reshape(-1, 6).numpy() > 0).mean(0)
    np.testing.assert_allclose(got.active[1], wanted, rtol=1e-6)
    assert got.active[1][2] == 0


def test_a_gpus_way_to_count_gives_the_same() -> None:
    for values in (torch.tensor([1.0, math.nan, -math.inf, -3]), torch.tensor([math.nan]), torch.zeros(0)):
        there, here = samples._extremes_there(values), samples._extremes(values)
        torch.testing.assert_close(there, torch.tensor(here, dtype=torch.float64), equal_nan=True)


def test_figures_of_a_gpu_arrive_with_all_their_bits() -> None:
    """As float64 among float32; here the same tensors lie on the CPU."""
    tensors = [torch.randn(2000), torch.randn(7), torch.randn(3000).double(), torch.full((1500,), 2.0**60)]
    here = [samples.take(each) for each in tensors]
    figures = [samples._extremes_there(each) for each in tensors]
    there = [each._replace(figures=each.figures and found) for each, found in zip(here, figures, strict=True)]
    wanted, got = (samples.fetched(samples.sent(taken)) for taken in (here, there))
    np.testing.assert_array_equal(got.figures, wanted.figures)
    np.testing.assert_array_equal(got.content, wanted.content)
