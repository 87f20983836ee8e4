"""Registers smdebug's hook where SageMaker has left a configuration of it, and saves what that asks for.

Nothing that goes wrong here fails a training: health/debugger.json says what it was, and no more is saved.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonfile
import numpy as np
import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.utils.hooks import RemovableHandle
from training import progress

from health.debugger import installing, names, saved, trial
from health.recording.layers import compiled
from health.rules.scaling import Job

if TYPE_CHECKING:
    from health.debugger.saver import Saver

SHIPS = ("health/debugger/evaluate.py",)  # what judges the saved tensors, where the service does that on its machine
VARIABLE = "SMDEBUG_CONFIG_FILE_PATH"
CONFIG = "/opt/ml/input/config/debughookconfig.json"  # both as smdebug has them
FILE = "debugger.json"
LOSSES, TRAIN, EVAL = "losses", "TRAIN", "EVAL"
PROBE = torch.tensor([[1.5, -2.0, 0.0], [3.0, 1e-3, 7.0]])


class Debugger:
    """Of a training without that file: does nothing."""

    def __init__(self) -> None:
        self.saver: Saver | None = None
        self.now = -1

    def begins(self, step: int) -> None:
        """Before each forward pass; the parts of one step have its number, and the first is looked at."""

    def gradients(self, scaler: GradScaler) -> None:
        """After a step's last backward pass."""

    def stepped(self, loss: Tensor, lr: float) -> None: ...

    def validated(self, loss: float) -> None: ...

    def close(self) -> None: ...


class Registered(Debugger):
    def __init__(self, network: nn.Module, file: Path | None) -> None:
        """`file`: debugger.json, of the first rank."""
        super().__init__()
        self.network, self.file = network, file
        self.modules = [(names.module(name, layer), layer) for name, layer in network.named_modules()]
        self.weights = [(f"{type(network).__name__}_{name}", weight) for name, weight in network.named_parameters()]
        self.hooks: list[RemovableHandle] = []
        self.status: dict[str, Any] = {"registered": False, "why": None, "smdebug": None, "steps": 0, "collections": []}

    def registers(self, config: Path, job: Job, done: tuple[int, int]) -> None:
        """Only once a tensor was written and read again where the tensors will lie. `done`: steps and validations of
        earlier lives of the job."""
        try:
            self.status["smdebug"] = installing.found()
            self.saver = _proved(config, done[0] > 0)
            self.saver.starts(*done)
            self.status |= {"registered": True, "collections": self.saver.collections()}
            if self.saver.worker == self.saver.chief_worker:
                notes = {"names": names.plain(names.of(self.network)), "job": job._asdict()}
                jsonfile.write(Path(self.saver.out_dir, trial.NOTES), notes)
        except Exception as error:  # smdebug's own among them: no debugger may fail a training
            self._gives_up(error)
        self._tell()

    def begins(self, step: int) -> None:
        if step != self.now:
            self.now = step
            self._safely(self._begins)

    def gradients(self, scaler: GradScaler) -> None:
        self._safely(partial(self._gradients, scaler))

    def stepped(self, loss: Tensor, lr: float) -> None:
        self._safely(partial(self._stepped, loss, lr))

    def validated(self, loss: float) -> None:
        self._safely(partial(self._validated, loss))

    def close(self) -> None:
        self._rests()
        if self.saver is not None:
            self._safely(lambda saver: saver.close())
            self._tell()

    def _begins(self, saver: Saver) -> None:
        self._rests()
        due = saver.begins(TRAIN)
        if due - {LOSSES}:
            for name, weight in self.weights:
                saver.saves(name, weight)
        if due - {LOSSES, "weights", "biases", "gradients"}:
            self._looks()

    def _gradients(self, scaler: GradScaler, saver: Saver) -> None:
        """As the optimiser sees them; of a step that the scaler leaves out, as it looks for a factor, none."""
        self._rests()
        if not saver.due - {LOSSES}:
            return
        scale = scaler.get_scale() if scaler.is_enabled() else 1.0
        found = [
            (name, weight.grad / scale if scale != 1 else weight.grad)
            for name, weight in self.weights
            if weight.grad is not None
        ]
        if scale > 1 and not all(bool(gradient.isfinite().all()) for _, gradient in found):
            return
        for name, gradient in found:
            saver.saves(f"{names.GRADIENT}{name}", gradient)

    def _stepped(self, loss: Tensor, lr: float, saver: Saver) -> None:
        if saver.due:
            saver.saves(names.LOSS, loss)
            saver.save_scalar(names.LR, lr)
        saver.ends()

    def _validated(self, loss: float, saver: Saver) -> None:
        saver.begins(EVAL)
        saver.saves(names.LOSS, torch.tensor(loss, dtype=torch.float64))
        saver.ends()

    def _looks(self) -> None:
        """At what layers are given and give, in the next forward pass alone: a copy of the network has no hooks."""
        for name, layer in self.modules:
            self.hooks.append(layer.register_forward_pre_hook(partial(self._given, name)))
            self.hooks.append(layer.register_forward_hook(partial(self._gave, name)))
        self.hooks.append(self.network.register_forward_hook(lambda *_: self._rests()))
        compiled("force_eager")

    def _given(self, name: str, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Before the layer runs: torchvision's ReLU overwrites what it is given."""
        self._safely(lambda saver: saver.passes(name, inputs, None))

    def _gave(self, name: str, _: nn.Module, __: tuple[Any, ...], output: Any) -> None:
        self._safely(lambda saver: saver.passes(name, None, output))

    def _rests(self) -> None:
        if self.hooks:
            compiled("default")
        for hook in self.hooks:
            hook.remove()
        self.hooks = []

    def _safely(self, work: Callable[[Saver], None]) -> None:
        if self.saver is None:
            return
        try:
            with torch.no_grad():
                work(self.saver)
        except Exception as error:  # a full disk, smdebug itself: no debugger may fail a training
            self._gives_up(error)
            self._tell()

    def _gives_up(self, error: Exception) -> None:
        self._rests()
        at = f"gave up at step {self.now}: " if self.saver is not None and self.now >= 0 else ""
        why = f"{at}{_cause(error)}".encode("utf-8", "replace").decode()  # a file's name may be no text
        self.status |= {"why": why, "steps": self.saver.saved_steps if self.saver else 0}
        self.saver = None
        progress.say(f"health: Debugger's hook saves no tensors: {self.status['why']}")

    def _tell(self) -> None:
        if self.saver is not None:
            self.status["steps"] = self.saver.saved_steps
        if self.file is not None:
            # a full disk may be why it gave up; a collection's name may be no text
            with contextlib.suppress(OSError, UnicodeError):
                jsonfile.write(self.file, self.status)


def registered(
    env: Mapping[str, str], folder: Path, network: nn.Module, job: Job, rank: int, done: tuple[int, int]
) -> Debugger:
    """`folder` is the training's health. Ranks but the first save only where the file says include_workers: all."""
    config = Path(env.get(VARIABLE) or CONFIG)
    if not config.is_file() or (rank and not _of_all_workers(config)):
        return Debugger()
    found = Registered(network, None if rank else folder / FILE)
    found.registers(config, job, done)
    return found


def _proved(config: Path, resumed: bool) -> Saver:
    """A hook as the file says, after another one in a folder beside its own. Raises whatever stands in the way."""
    from health.debugger import saver

    content = read(config)
    folder = Path(content.get("LocalPath") or saver.FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".proof-", dir=folder) as scratch:
        proof = saver.made(config, str(Path(scratch, "tensors")))
        proof.starts(0, 0)
        proof.proves(names.LOSS, PROBE.bfloat16())
        proof.close()
        steps = saved.steps(Path(proof.out_dir))
        found = [tensor.values for step in steps for tensor in saved.tensors(step)]
        if len(found) != 1 or not np.array_equal(found[0], PROBE.bfloat16().float().numpy()):
            raise installing.Absent(f"smdebug read {len(found)} tensors where it had written one: report this")
    (folder / saver.ENDED).unlink(missing_ok=True)  # smdebug takes no folder in which a training has ended
    made = saver.made(config)
    made.clears(resumed)
    return made


def read(config: Path) -> dict[str, Any]:
    """As SageMaker writes it. Raises ValueError."""
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{config}: no JSON ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{config}: no table of DebugHookConfig's members")
    return content


def _of_all_workers(config: Path) -> bool:
    try:
        return (read(config).get("HookParameters") or {}).get("include_workers") == "all"
    except (ValueError, OSError, AttributeError):
        return False  # the first rank says so


def _cause(error: Exception) -> str:
    if isinstance(error, installing.Absent):
        return str(error)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]
