"""What rules were accepted on: for each of the book a run that fires it, one that does not, one without its data.

A rule that comes new into the book fails here until it has all three, and until docs/health.md shows them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import profiled_jobs
import pytest
from health.profiling.gpus import Gpus
from health.profiling.system import Machine, Sampler
from health.recording import records
from health.recording.recorder import Recorder
from health.rules.parameters import Value
from health.rules.rulebook import BOOK
from health.rules.scaling import Job
from health.verdicts import ISSUES_FOUND, NO_ISSUES_FOUND, NOT_EVALUATED, Verdict
from health.view import Records
from test_rules_system import FIRING, looks
from torch import nn
from trained_networks import CLASSES, Run, begun_at, of_dead_units, of_saturated_units, stack, trained, verdict

DOCS = Path(__file__).parent.parent / "docs" / "health.md"
LOOKS = 24  # at this machine: a quarter is left out at the start, and 8 have to stay


def sound(folder: Path) -> Run:
    return trained(folder, stack(nn.ReLU, 1), lr=0.02)


def sound_tanhs(folder: Path) -> Run:
    return trained(folder, stack(nn.Tanh, 1), lr=0.02, epochs=1)


def sigmoids(folder: Path) -> Run:
    return trained(folder, stack(nn.Sigmoid, 12), epochs=1)


def too_fast(folder: Path) -> Run:
    return trained(folder, stack(nn.ReLU, 3), lr=1e6, epochs=2)


def begun_too_large(folder: Path) -> Run:
    return trained(folder, begun_at(1.0), lr=0.5, epochs=1)


def dead_units(folder: Path) -> Run:
    return trained(folder, of_dead_units(), epochs=1)


def saturated_units(folder: Path) -> Run:
    return trained(folder, of_saturated_units(), epochs=1)


def by_heart(folder: Path) -> Run:
    """Labels at random."""
    return trained(folder, stack(nn.ReLU, 2), shuffled=True, epochs=30)


def a_rare_class(folder: Path) -> Run:
    return trained(folder, stack(nn.ReLU, 1), lr=0.02, rare=3)


def trained_for_too_long(folder: Path) -> Run:
    return trained(folder, stack(nn.ReLU, 1), epochs=20)


def one_epoch(folder: Path) -> Run:
    return trained(folder, stack(nn.ReLU, 1), lr=0.02, epochs=1)


def losses_alone(folder: Path) -> Run:
    """What TuneModel's trials record."""
    return trained(folder, stack(nn.ReLU, 1), lr=0.02, every=0)


def gelus(folder: Path) -> Run:
    return trained(folder, stack(nn.GELU, 1), lr=0.02, epochs=1)


def no_step(folder: Path) -> Run:
    """Of a job that ended before its first step there are tables, and nothing in them."""
    Recorder(folder, stack(nn.ReLU, 1), CLASSES, every=2).close()
    return records.read(folder), Job(60, 6, 2, CLASSES, 960)


def a_slow_loader(folder: Path) -> Run:
    job = profiled_jobs.train(folder, steps=160, stall=lambda step: 0.06 if step % 20 == 19 else 0.0)
    return job.records, Job(160, 1, start_up_seconds=job.clock["parts_ns"]["start_up"] / 1e9)


def a_watched_slow_loader(folder: Path) -> Run:
    job = profiled_jobs.train(folder, steps=40, stall=lambda step: 0.02)
    return job.records._replace(system=watched(folder)[0].system), Job(40, 1)


def steady(folder: Path) -> Run:
    """On a clock that nothing disturbs: on a real one any other program makes an outlier."""
    job = profiled_jobs.clocked(400, profiled_jobs.seldom(0.0, "data_wait"))
    return job.records._replace(system=looks(40).system), Job(400, 1, start_up_seconds=3.0)


def few_steps(folder: Path) -> Run:
    job = profiled_jobs.train(folder, steps=6)
    return job.records, Job(6, 1)


def watched(folder: Path) -> Run:
    """This machine, really looked at, as if it had no GPU."""
    machine = Machine({"CUDA_VISIBLE_DEVICES": ""}, gpus=Gpus({"CUDA_VISIBLE_DEVICES": ""}))
    writer = records.Writer(records.path(folder, "system"), records.SYSTEM)
    for _ in range(LOOKS):
        Sampler(writer.add, machine, interval=3600).start().stop()
    writer.close()
    return records.read(folder), Job(LOOKS, 1)


def table(made_up: Records) -> Callable[[Path], Run]:
    return lambda folder: (made_up, Job(4000, 1))


class Cell(NamedTuple):
    """`of`: what docs/health.md says of the run; `given`: parameters that the rule was asked for with."""

    of: str
    run: Callable[[Path], Run]
    given: Mapping[str, Value] = {}


def network(run: Callable[[Path], Run], **given: Value) -> Cell:
    return Cell("network", run, given)


def loop(run: Callable[[Path], Run], **given: Value) -> Cell:
    return Cell("loop", run, given)


def machine(run: Callable[[Path], Run]) -> Cell:
    return Cell("machine", run)


def made_up(run: Callable[[Path], Run]) -> Cell:
    return Cell("table", run)


def of_gpus(name: str) -> tuple[Cell, Cell, Cell]:
    """No GPU is where these tests run: what one shows is made up, that there is none is seen."""
    return made_up(table(FIRING[name])), made_up(table(looks())), machine(watched)


NEVER = Cell("never", table(looks(cpu=100.0, memory_used_share=100.0, io_wait=100.0)))  # fires, by AWS's definition
MATRIX: dict[str, tuple[Cell, Cell, Cell]] = {  # fires, does not, cannot be judged
    "VanishingGradient": (network(sigmoids), network(sound), network(losses_alone)),
    "ExplodingTensor": (network(too_fast), network(sound), network(no_step)),
    "PoorWeightInitialization": (network(begun_too_large), network(sound), network(losses_alone)),
    "SaturatedActivation": (network(saturated_units), network(sound_tanhs), network(gelus)),
    "DeadRelu": (network(dead_units), network(sound), network(gelus)),
    "WeightUpdateRatio": (network(too_fast), network(sound), network(losses_alone)),
    "AllZero": (network(dead_units), network(sound), network(losses_alone)),
    "TensorVariance": (
        network(saturated_units, max_threshold=100.0),
        network(sound, max_threshold=100.0),
        network(losses_alone, max_threshold=100.0),
    ),
    "UnchangedTensor": (network(dead_units), network(sound), network(losses_alone)),
    "ClassImbalance": (network(a_rare_class), network(sound), network(no_step)),
    "Confusion": (network(by_heart), network(sound), network(no_step)),
    "LossNotDecreasing": (network(by_heart), network(sound), network(no_step)),
    "Overfit": (network(by_heart), network(sound), network(one_epoch)),
    "Overtraining": (network(trained_for_too_long), network(sound), network(one_epoch)),
    "StalledTrainingRule": (loop(a_slow_loader, threshold=0.05), loop(a_slow_loader), network(no_step)),
    **{
        name: of_gpus(name)
        for name in (
            "BatchSize",
            "CPUBottleneck",
            "IOBottleneck",
            "LowGPUUtilization",
            "GPUMemoryIncrease",
            "LoadBalancing",
        )
    },
    "OverallSystemUsage": (NEVER, machine(watched), network(no_step)),
    "Dataloader": (loop(a_watched_slow_loader, min_threshold=101.0), made_up(steady), loop(few_steps)),
    "MaxInitializationTime": (loop(a_slow_loader, threshold=0.0), loop(a_slow_loader), network(no_step)),
    "StepOutlier": (loop(a_slow_loader), made_up(steady), loop(few_steps)),
}
Judge = Callable[[str, Cell], Verdict]


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    """Each run is made once, for all rules that it is shown to."""
    made: dict[Any, Run] = {}

    def judged(name: str, cell: Cell) -> Verdict:
        if cell.run not in made:
            made[cell.run] = cell.run(tmp_path_factory.mktemp("run"))
        return verdict(name, made[cell.run], cell.given)

    return judged


def test_every_rule_of_the_book_has_its_three_runs() -> None:
    assert list(MATRIX) == list(BOOK)


@pytest.mark.parametrize("name", MATRIX)
def test_each_rule_fires_and_says_what_it_found_and_what_to_try(name: str, judge: Judge) -> None:
    cell = MATRIX[name][0]
    found = judge(name, cell)
    if cell is NEVER:
        assert found.status == NO_ISSUES_FOUND
        return
    assert found.status == ISSUES_FOUND, found.message
    assert found.message and found.advice and found.points > 0
    assert found.value is not None and found.threshold is not None
    if "system" not in BOOK[name].needs:
        assert found.step is not None


@pytest.mark.parametrize("name", MATRIX)
def test_each_rule_finds_nothing_in_a_run_that_is_well(name: str, judge: Judge) -> None:
    found = judge(name, MATRIX[name][1])
    assert found.status == NO_ISSUES_FOUND, found.message
    assert found.message and found.points > 0


@pytest.mark.parametrize("name", MATRIX)
def test_each_rule_without_its_data_says_what_is_missing_and_how_to_get_it(name: str, judge: Judge) -> None:
    found = judge(name, MATRIX[name][2])
    assert found.status == NOT_EVALUATED, found.message
    assert found.message and found.advice


@pytest.mark.parametrize("name", [name for name, cells in MATRIX.items() if cells[0].of == "network"])
def test_what_concerns_a_network_is_shown_by_networks_that_were_trained(name: str) -> None:
    assert {cell.of for cell in MATRIX[name]} == {"network"}


def test_the_docs_show_this_table() -> None:
    rows = [f"| {name} | {' | '.join(cell.of for cell in cells)} |" for name, cells in MATRIX.items()]
    text = DOCS.read_text(encoding="utf-8")
    assert "\n".join(rows) in text, "put these rows into docs/health.md, What each rule was tried on:\n" + "\n".join(
        rows
    )
