"""The recorder sees what a training does, and the training does not see the recorder."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from health.recording import records
from health.recording.recorded import Limits
from health.recording.recorder import Recorder, default_every
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torchvision.models import resnet18
from training import averaging, convolutions

CPU = torch.device("cpu")


def small() -> nn.Sequential:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(5 * 36, 4))
    return nn.Sequential(*layers)


def batch(seed: int, size: int = 5) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(size, 3, 8, 8, generator=random), torch.randint(0, 4, (size,), generator=random)


def trained(
    network: nn.Module,
    recorder: Recorder | None,
    steps: range,
    learning: Callable[[Tensor], Tensor] | None = None,
    lower: bool = False,
    make: Callable[[int], tuple[Tensor, Tensor]] = batch,
) -> list[float]:
    """A loop as train.py has it."""
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9, fused=True)
    losses = []
    for step in steps:
        pictures, labels = make(step)
        if recorder:
            recorder.begins(step)
        with torch.autocast("cpu", torch.bfloat16, enabled=lower):
            scores = (learning or network)(pictures)
        loss = F.cross_entropy(scores.float(), labels)
        loss.backward()
        if recorder:
            recorder.shown(labels)
            recorder.gradients()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if recorder:
            recorder.stepped()
            recorder.step(1, loss, 0.1, len(labels), {"forward": 0.5})
        losses.append(loss.item())
    return losses


def recorded(folder: Path, network: nn.Module, steps: int = 1, every: int = 1, **options: Any) -> records.Records:
    recorder = Recorder(folder, network, 4, every)
    trained(network, recorder, range(steps), **options)
    recorder.close()
    return records.read(folder)


def one(found: records.Records, kind: str, name: str, column: str) -> float:
    return float(found.series(kind, name, column)[1][0])


def test_the_default_interval_gives_twenty_records_and_is_never_above_a_hundred() -> None:
    assert [default_every(steps) for steps in (1, 19, 40, 120, 2000, 100_000)] == [1, 1, 2, 6, 100, 100]
    assert all(len(range(0, steps, default_every(steps))) >= 20 for steps in range(20, 5000))


@pytest.mark.parametrize("lower", (False, True), ids=("float32", "bfloat16"))
def test_a_recorded_training_is_bit_for_bit_the_same(tmp_path: Path, lower: bool) -> None:
    """With dropout: random states are as they would be. A network as train.py prepares it."""
    ends, losses = [], []
    for every in (0, 2, None):
        torch.manual_seed(0)
        network = resnet18(num_classes=4).to(memory_format=torch.channels_last)
        network.fc = nn.Sequential(nn.Dropout(0.5), nn.Linear(512, 4))
        convolutions.prepare(network, CPU)
        recorder = None if every is None else Recorder(tmp_path / str(every), network, 4, every)
        pictures = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
        losses.append(
            trained(network, recorder, range(3), lower=lower, make=lambda _, shown=pictures: (shown, torch.arange(4)))
        )
        ends.append([*network.state_dict().values(), torch.get_rng_state()])
        if recorder:
            recorder.close()
    assert losses[0] == losses[1] == losses[2]
    assert all(torch.equal(*pair) for end in ends[:2] for pair in zip(end, ends[2], strict=True))
    found = records.read(tmp_path / "2")
    assert set(found.tensors["step"]) == {0, 2}
    assert not found.tensors["non_finite"].any()
    assert set(found.of_kind("input")["layer"]) == {"Conv2d", "Linear", "ReLU"}
    assert len(found.names("input")) == 21 + 17
    assert found.losses()[1].tolist() == losses[2]
    assert len(records.read(tmp_path / "0").tensors["step"]) == 0


def test_inputs_are_those_before_an_activation_that_overwrites_them(tmp_path: Path) -> None:
    network = small()
    seen = copy.deepcopy(network)
    before = seen[:2](batch(0)[0])
    found = recorded(tmp_path, network)
    assert one(found, "input", "2", "min") == pytest.approx(before.min().item())
    assert before.min() < 0
    assert one(found, "output", "2", "min") == 0
    assert one(found, "input", "4", "mean") == pytest.approx(before.relu().mean().item(), rel=1e-5)
    assert found.names("input") == ["0", "2", "4"]
    assert found.of_kind("input")["layer"].tolist() == ["Conv2d", "ReLU", "Linear"]


def test_weights_gradients_and_updates_are_those_of_the_step(tmp_path: Path) -> None:
    network = small()
    start = copy.deepcopy(network)
    pictures, labels = batch(0)
    F.cross_entropy(start(pictures), labels).backward()
    found = recorded(tmp_path, network)
    names = [name for name, _ in network.named_parameters()]
    assert found.names("weight") == found.names("gradient") == found.names("update") == names
    for name, weight in start.named_parameters():
        assert weight.grad is not None
        assert one(found, "weight", name, "mean_abs") == pytest.approx(weight.abs().mean().item(), rel=1e-5)
        assert one(found, "gradient", name, "max") == pytest.approx(weight.grad.max().item(), rel=1e-5)
        length = 0.1 * weight.grad.norm() / (weight.norm() + 1e-9)
        assert one(found, "update", name, "ratio") == pytest.approx(length.item(), rel=1e-3, abs=1e-6)
        assert math.isnan(one(found, "weight", name, "change"))


def test_changes_of_weights_are_since_the_record_before(tmp_path: Path) -> None:
    network = small()
    network[1].weight.register_hook(torch.zeros_like)
    found = recorded(tmp_path, network, steps=5, every=2)
    at, still = found.series("weight", "1.weight", "change")
    assert at.tolist() == [0, 2, 4]
    assert still[1:].tolist() == [0, 0]
    assert (found.series("weight", "0.weight", "change")[1][1:] > 1).all()


def test_frozen_weights_are_not_recorded_and_those_without_gradient_have_none(tmp_path: Path) -> None:
    network = small()
    network[0].requires_grad_(False)
    network.register_parameter("unused", nn.Parameter(torch.ones(3)))
    found = recorded(tmp_path, network)
    assert found.names("weight") == ["unused", "1.weight", "1.bias", "4.weight", "4.bias"]
    assert found.names("gradient") == ["1.weight", "1.bias", "4.weight", "4.bias"]
    assert one(found, "update", "unused", "ratio") == 0


def test_parts_of_a_step_give_the_first_parts_inputs_and_the_whole_gradient(tmp_path: Path) -> None:
    network = small()
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    recorder = Recorder(tmp_path, network, 4, 1)
    parts = [batch(0), batch(1)]
    for pictures, labels in parts:
        recorder.begins(0)
        (F.cross_entropy(network(pictures), labels) / 2).backward()
    whole = network[4].weight.grad.clone()
    recorder.gradients()
    optimizer.step()
    recorder.stepped()
    recorder.close()
    found = records.read(tmp_path)
    assert one(found, "gradient", "4.weight", "max") == pytest.approx(whole.max().item())
    assert found.series("input", "0", "max")[1].tolist() == [pytest.approx(parts[0][0].max().item())]


def test_gradients_are_taken_without_a_scalers_factor(tmp_path: Path) -> None:
    networks = small(), small()
    found = []
    for network, scaler in zip(networks, (GradScaler("cpu", 1024.0), GradScaler("cpu", enabled=False)), strict=True):
        recorder = Recorder(tmp_path / str(scaler.is_enabled()), network, 4, 1)
        recorder.begins(0)
        scaler.scale(F.cross_entropy(network(batch(0)[0]), batch(0)[1])).backward()
        recorder.gradients(scaler)
        scaler.step(torch.optim.SGD(network.parameters(), 0.1))
        recorder.stepped()
        recorder.close()
        found.append(records.read(tmp_path / str(scaler.is_enabled())))
    for column in ("mean_abs", "max", "p5", "std"):
        ours, plain = (each.of_kind("gradient")[column] for each in found)
        np.testing.assert_allclose(ours, plain, rtol=1e-3, atol=1e-6)


def test_a_step_that_the_scaler_leaves_out_shows_no_gradients(tmp_path: Path) -> None:
    """While its factor is above 1 it is being looked for; a gradient that is infinite by itself is shown."""
    for factor, kinds in ((1024.0, {"weight", "input", "output"}), (1.0, set(records.view.KINDS))):
        network = small()
        recorder = Recorder(tmp_path / str(factor), network, 4, 1)
        recorder.begins(0)
        scaler = GradScaler("cpu", factor)
        scaler.scale(network(batch(0)[0]).sum() * math.inf).backward()
        recorder.gradients(scaler)
        recorder.stepped()
        recorder.close()
        assert set(records.read(tmp_path / str(factor)).tensors["kind"]) == kinds


def test_what_is_not_finite_is_counted(tmp_path: Path) -> None:
    network = small()
    with torch.no_grad():
        network[0].weight[0, 0, 0] = torch.tensor([math.nan, math.inf, 1])
    found = recorded(tmp_path, network)
    assert (one(found, "weight", "0.weight", "non_finite"), one(found, "weight", "0.weight", "nan")) == (2, 1)
    assert one(found, "weight", "0.weight", "max") == 1
    assert one(found, "gradient", "4.weight", "nan") > 0
    assert math.isnan(found.losses()[1][0])


def test_saturated_and_idle_units_are_shares(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(192, 20), nn.Sigmoid(), nn.Linear(20, 8), nn.ReLU(), nn.Linear(8, 4)
    )
    with torch.no_grad():
        network[1].bias[:5] = 100
        network[1].bias[5:7] = -100
        network[3].bias[:2] = -100
        idle = (network[:4](batch(0)[0]) <= 0).all(0).float().mean().item()
    found = recorded(tmp_path, network)
    assert one(found, "output", "2", "above") == 0.25
    assert one(found, "output", "2", "below") == pytest.approx(0.1)
    assert one(found, "output", "4", "idle_share") == idle >= 0.25
    assert math.isnan(one(found, "input", "5", "idle_share"))


def test_a_layer_that_is_called_twice_has_two_names(tmp_path: Path) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.act, self.last = nn.Linear(192, 8), nn.ReLU(), nn.Linear(8, 4)

        def forward(self, pictures: Tensor) -> Tensor:
            out: Tensor = self.last(self.act(self.act(self.first(pictures.flatten(1))) - 1))
            return out

    found = recorded(tmp_path, Twice(), steps=2)
    assert found.names("input") == ["first", "act", "act#2", "last"]
    assert found.names("output") == ["act", "act#2"]
    assert one(found, "input", "act#2", "min") == -1


def test_an_input_that_several_layers_share_is_each_time_what_it_is_then(tmp_path: Path) -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other, self.last = (nn.Linear(192, 4) for _ in range(3))

        def forward(self, pictures: Tensor) -> Tensor:
            flat = pictures.flatten(1)
            out = self.one(flat) + self.other(flat)
            return out + self.last(flat.add_(1000))

    recorder = Recorder(tmp_path, network := Shared(), 4, 1)
    recorder.begins(0)
    with torch.no_grad():
        network(batch(0)[0])
    recorder.gradients()
    recorder.close()
    found = records.read(tmp_path)
    assert one(found, "input", "one", "mean") == one(found, "input", "other", "mean") < 1
    assert one(found, "input", "last", "min") > 900


def test_nothing_is_left_in_the_network_between_records_nor_in_its_copies(tmp_path: Path) -> None:
    network = small()
    recorder = Recorder(tmp_path, network, 4, 2)
    assert recorder.begins(0)
    network(batch(0)[0]).sum().backward()
    hooks = [each for layer in network.modules() for each in (layer._forward_hooks, layer._forward_pre_hooks)]
    assert not any(hooks)
    recorder.gradients()
    recorder.stepped()
    assert not recorder.begins(1)
    assert not any(hooks)
    recorder.close()


def test_a_compiled_network_is_seen_layer_by_layer(tmp_path: Path) -> None:
    network = small()
    compiled = torch.compile(network, backend="eager")
    found = recorded(tmp_path, network, steps=4, every=2, learning=compiled)
    assert found.names("input") == ["0", "2", "4"]
    assert set(found.of_kind("output")["step"]) == {0, 2}


def test_a_network_in_a_process_group_keeps_its_names(tmp_path: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    try:
        network = small()
        found = recorded(tmp_path, network, learning=DistributedDataParallel(network))
    finally:
        torch.distributed.destroy_process_group()
    assert found.names("gradient")[0] == "0.weight"
    assert found.names("input") == ["0", "2", "4"]


def test_two_ranks_are_one_record(tmp_path: Path) -> None:
    """Inputs of both halves of a batch; weights of the first rank."""
    networks = [nn.Sequential(nn.Flatten(), nn.Linear(192, 4)) for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    parts = [batch(rank) for rank in (0, 1)]
    for rank in (0, 1):
        recorder = Recorder(tmp_path, networks[rank], 4, 1, rank)
        trained(networks[rank], recorder, range(1), make=lambda _, rank=rank: parts[rank])
        recorder.trained(1)
        recorder.close()
    found = records.read(tmp_path)
    every = torch.cat([pictures for pictures, _ in parts])
    assert one(found, "input", "1", "count") == every.numel()
    assert one(found, "input", "1", "max") == every.max()
    assert one(found, "input", "1", "std") == pytest.approx(every.std(correction=0).item(), rel=1e-4)
    assert found.series("weight", "1.weight")[0].tolist() == [0]
    assert found.steps["examples"].tolist() == [10]
    labels = torch.cat([labels for _, labels in parts])
    assert found.classes[0]["shown"] == torch.bincount(labels, minlength=4).tolist()


def test_a_head_alone_is_recorded(tmp_path: Path) -> None:
    found = recorded(tmp_path, nn.Linear(5, 4), make=lambda _: (torch.randn(6, 5), torch.arange(6) % 4))
    assert found.names("weight") == ["weight", "bias"]
    assert found.names("input") == ["Linear"]


def test_a_resumed_training_has_each_step_once(tmp_path: Path) -> None:
    network = small()
    first = Recorder(tmp_path, network, 4, 2)
    trained(network, first, range(7))
    first.flush()  # and it was killed
    again = Recorder(tmp_path, network, 4, 2, resumed_at=4)
    trained(network, again, range(4, 9))
    again.close()
    found = records.read(tmp_path)
    assert found.losses()[0].tolist() == list(range(9))
    assert found.series("gradient", "4.weight")[0].tolist() == [0, 2, 4, 6, 8]
    assert found.steps["recorded"].tolist() == [step % 2 == 0 for step in range(9)]
    first.close()


def test_epochs_end_with_counts_of_classes_and_a_confusion_matrix(tmp_path: Path) -> None:
    network = small()
    recorder = Recorder(tmp_path, network, 4, 0)
    trained(network, recorder, range(2))
    recorder.trained(1)
    labels, scores = torch.tensor([0, 0, 3]), torch.eye(4)[[0, 1, 3]]
    with torch.inference_mode():
        recorder.judged(scores, labels)
    recorder.validated(1, 0.5, 0.75, 3, {"evaluation": 2.0})
    recorder.close()
    found = records.read(tmp_path)
    assert [sum(row["shown"]) for row in found.classes] == [10, 3]
    matrix = found.classes[1]["confusion"]
    assert (matrix[0], matrix[3]) == ([1, 1, 0, 0], [0, 0, 0, 1])
    assert found.losses("validation")[1].tolist() == [0.5]
    last = {name: column[-1] for name, column in found.steps.items()}
    assert (last["mode"], last["step"], last["accuracy"], last["evaluation"]) == ("validation", 1, 0.75, 2)
    assert found.steps["forward"].tolist()[:2] == [0.5, 0.5]


def test_nothing_waits_for_a_gpu_but_every_tenth_step(tmp_path: Path) -> None:
    """A meta device computes no values, so that whoever asks for one fails."""
    with torch.device("meta"):
        network = small()
        pictures, labels = torch.randn(50, 3, 8, 8), torch.zeros(50, dtype=torch.int64)
    recorder = Recorder(tmp_path, network, 4, 3)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)

    def step(number: int) -> None:
        recorder.begins(number)
        loss = F.cross_entropy(network(pictures), labels)
        loss.backward()
        recorder.shown(labels)
        recorder.gradients()
        optimizer.step()
        recorder.stepped()
        recorder.step(1, loss, 0.1, len(labels), {})

    for number in range(9):
        step(number)
    recorder.judged(network(pictures), labels)
    assert [len(record.rows) for record in recorder.sent] == 3 * [2 * 6 + 4]
    with pytest.raises(RuntimeError, match="meta"):
        step(9)
    for writer in (recorder.steps, recorder.tensors, recorder.classes):
        writer.close()


def test_a_step_that_an_error_ends_is_in_the_tables(tmp_path: Path) -> None:
    network = small()
    recorder = Recorder(tmp_path, network, 4, 1)
    recorder.begins(0)
    (network(batch(0)[0]).sum() * math.nan).backward()
    recorder.gradients()
    recorder.close()
    found = records.read(tmp_path)
    assert one(found, "gradient", "4.weight", "nan") == 4 * 180
    assert found.names("update") == []


def test_a_long_training_is_recorded_less_often_and_its_table_stays_small(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    limits = Limits(bytes=40_000)
    recorder = Recorder(tmp_path, network, 4, 1, limits=limits)
    recorder.tensors.seconds = 0
    trained(network, recorder, range(150))
    recorder.close()
    at, _ = records.read(tmp_path).series("weight", "1.weight")
    assert records.path(tmp_path, "tensors").stat().st_size < limits.bytes
    assert np.diff(at)[0] == 1
    assert (np.diff(at)[1:] >= np.diff(at)[:-1]).all()
    assert np.diff(at)[-1] > 1


KINDS = ("plain", "compiled", "channels_last", "parts", "average", "float16", "bfloat16", "scaled", "distributed")
Figures = dict[tuple[str, str], np.ndarray[Any, Any]]


def plainly(network: nn.Sequential, parts: list[tuple[Tensor, Tensor]], lower: torch.dtype | None) -> Figures:
    """Values of all that a step is recorded of, by means that know nothing of the recorder."""
    found: Figures = {}
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}

    def keep(kind: str, name: str, tensor: Tensor) -> None:
        found.setdefault((kind, name), tensor.detach().double().flatten().numpy().copy())

    for name, layer in network.named_children():
        if isinstance(layer, nn.Conv2d | nn.ReLU | nn.Linear):
            layer.register_forward_pre_hook(lambda _, given, name=name: keep("input", name, given[0]))
        if isinstance(layer, nn.ReLU):
            layer.register_forward_hook(lambda *gave, name=name: keep("output", name, gave[2]))
    for pictures, labels in parts:
        with torch.autocast("cpu", lower or torch.bfloat16, enabled=lower is not None):
            scores = network(pictures)
        (F.cross_entropy(scores.float(), labels) / len(parts)).backward()
    for name, weight in network.named_parameters():
        keep("weight", name, weight)
        assert weight.grad is not None
        keep("gradient", name, weight.grad)
    torch.optim.SGD(network.parameters(), 0.1).step()
    for name, weight in network.named_parameters():
        keep("update", name, weight.detach() - before[name])
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_figure_is_that_of_a_plain_computation(tmp_path: Path, kind: str) -> None:
    """However the network is run; its tensors are small enough for the sample to be all of them."""
    layout = torch.channels_last if kind == "channels_last" else torch.contiguous_format
    lower = {"float16": torch.float16, "bfloat16": torch.bfloat16}.get(kind)
    network = small().to(memory_format=layout)
    parts = [
        (pictures.to(memory_format=layout), labels) for pictures, labels in map(batch, range(1 + (kind == "parts")))
    ]
    wanted = plainly(copy.deepcopy(network), parts, lower)
    average = averaging.Average(network, 0.9 if kind == "average" else 0)
    scaler = GradScaler("cpu", 4096.0, enabled=kind == "scaled")
    recorder = Recorder(tmp_path, network, 4, 1)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    with contextlib.ExitStack() as stack:
        learning: Callable[[Tensor], Tensor] = network
        if kind == "compiled":
            learning = torch.compile(network, backend="aot_eager")
        if kind == "distributed":
            torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
            stack.callback(torch.distributed.destroy_process_group)
            learning = DistributedDataParallel(network)
        for pictures, labels in parts:
            recorder.begins(0)
            with torch.autocast("cpu", lower or torch.bfloat16, enabled=lower is not None):
                scores = learning(pictures)
            scaler.scale(F.cross_entropy(scores.float(), labels) / len(parts)).backward()
    recorder.gradients(scaler)
    scaler.step(optimizer)
    average.update(network)
    recorder.stepped()
    recorder.close()
    found = records.read(tmp_path)
    assert set(zip(found.tensors["kind"], found.tensors["name"], strict=True)) == set(wanted)
    for (of, name), values in wanted.items():
        figures = {"count": len(values), "mean": values.mean(), "mean_abs": abs(values).mean(), "std": values.std()}
        figures |= {"min": values.min(), "max": values.max(), "zero_share": (values == 0).mean(), "non_finite": 0}
        figures |= {f"p{part}": np.percentile(values, part) for part in (5, 95)}
        near = 1e-3 if lower or kind == "compiled" else 1e-4  # of the largest: updates are differences of float32
        for column, value in figures.items():
            scale = 1 if column in ("count", "zero_share") else abs(values).max()
            assert one(found, of, name, column) == pytest.approx(value, rel=1e-5, abs=near * scale), (of, name, column)
