"""Training's health, as train.py tells of it: recorder, clock, sampler, profiler and rules behind a few plain calls."""

from __future__ import annotations

import argparse
import contextlib
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from data import Split
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from training import machine, progress
from training.distributed import World
from training.resuming import Position

from health import jury
from health.debugger import hook
from health.page import profiler_report
from health.profiling import operators, profile, system, timers, waiting
from health.recording import recorder, records, sharing
from health.recording.recorded import Limits
from health.rules import judging, own_rule
from health.rules.scaling import Job
from health.view import KINDS

FOLDER = "health"
ASKED_EVERY = 50  # steps at most between two questions to rules that stop the training; there are losses of each
ENDS = (
    jury.FILE,
    hook.FILE,
    profiler_report.FILE,
    profiler_report.PAGE,
    operators.TABLE,
    operators.TRACE,
)  # written when all is over


class Health:
    """Rules are judged, and the machine and the profiler looked at, by the first rank alone.

    Where neither rules nor a profile are asked for, only losses and times of the steps are recorded.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        device: torch.device,
        world: World,
        age: float,
        download: float | None,
        env: Mapping[str, str],
    ) -> None:
        asked = world.first and (args.profile or args.health_rules)
        self.clock = timers.Clock(age, download, waits=waiting.found() if asked else None)
        self.born = time.perf_counter() - age
        self.args, self.world, self.env = args, world, env
        self.folder: Path = args.output_data_dir / FOLDER
        self.settings: tuple[judging.Setting, ...] = args.health_rules
        kept = args.checkpoint_dir / FOLDER if args.checkpoint_dir else None
        self.jury = jury.Jury(self.settings if world.first else (), self.folder, kept, env.get("TRAINING_JOB_NAME"))
        self.window = operators.Window(device) if args.profile and world.first else None
        self.watching = False
        self.debugger = hook.Debugger()
        self.recorder: recorder.Recorder  # from `watches` on, as are the next three
        self.sharing: sharing.Sharing
        self.interval: int
        self.job: Job
        self.sampler: system.Sampler | None = None
        self.system: records.Writer
        self.losses: list[Tensor] = []
        self.examples = 0
        self.profiled = False

    def watches(self, learner: nn.Module, training: Split, updates: int, start: Position) -> None:
        """Before the first epoch: `learner` is not what DDP made of it, `updates` are its steps an epoch."""
        args, needs = self.args, judging.needs(self.settings)
        total = args.epochs * updates
        self.interval = args.health_every or recorder.default_every(total)
        every = self.interval if args.health_every or needs & set(KINDS) else 0  # else losses are enough
        resumed = bool(start.epochs or start.step)
        resumed_at = (start.epoch - 1) * updates + start.step // args.accumulate if resumed else None
        if self.world.first:
            _clear(self.folder, self.world.size, resumed)
            self.jury.forget()
        self.sharing = sharing.Sharing(self.folder, self.world, machine.host(self.env))
        classes, examples = len(training.classes), args.epochs * len(training)
        rank = self.world.rank
        self.recorder = recorder.Recorder(self.folder, learner, classes, every, rank, resumed_at, limits(self.settings))
        if self.world.first and (args.profile or "system" in needs):
            self.system = records.Writer(records.path(self.folder, "system"), records.SYSTEM, resumed_at)
            self.sampler = system.Sampler(self.system.add, system.found()).start()
        self.lap("start_up")
        seconds = time.perf_counter() - self.born
        self.job = Job(total, args.epochs, every, classes, examples, start_up_seconds=seconds)
        done = resumed_at or 0, len(start.epochs)
        self.debugger = hook.registered(self.env, self.folder, learner, self.job, rank, done)
        self.lap("start_up")
        self.watching = True

    def lap(self, part: str) -> None:
        self.clock.lap(part)

    def begins(self, step: int) -> None:
        """Before each forward pass; parts of one step have its number. Steps count from 0 over the whole job."""
        self.clock.lap("data_wait")
        if self.window is not None:
            self.profiled = self.window.at(step)
            self.clock.lap("profiling")
        self.recorder.begins(step)
        self.debugger.begins(step)

    def forward(self, labels: Tensor, loss: Tensor) -> None:
        self.clock.lap("forward")
        self.recorder.shown(labels)
        self.losses.append(loss)
        self.examples += len(labels)

    def backward(self, scaler: GradScaler, last: bool) -> None:
        """After each backward pass, the step's `last` among them: before anything is clipped or stepped."""
        self.clock.lap("backward")
        if last:
            self.recorder.gradients(scaler)
            self.debugger.gradients(scaler)

    def stepped(self, epoch: int, lr: float) -> None:
        """After the optimiser's step. Raises Refusal where a rule stops the training."""
        self.clock.lap("optimizer")
        self.recorder.stepped()
        self.clock.lap("logging")
        loss = self.losses[0] if len(self.losses) == 1 else torch.stack(self.losses).mean()
        timing = self.clock.step(profiled=self.profiled)._asdict()
        self.recorder.step(epoch, loss, lr, self.examples, timing)
        self.debugger.stepped(loss, lr)
        self.losses, self.examples = [], 0
        if self.jury.stopping and self._asked():
            self.recorder.flush()
            self.jury.ask(self.job, only_stopping=True)
        self.clock.lap("logging")

    def _asked(self) -> bool:
        """At each record, of which a long job takes fewer in time; of losses alone, as often as records would be."""
        now = self.recorder.now
        return self.recorder.recording or now % ASKED_EVERY == 0 or (not self.job.every and now % self.interval == 0)

    def saved(self) -> None:
        """Before a checkpoint: a training that goes on there finds the rows of all steps before."""
        self.recorder.flush()

    def judged(self, scores: Tensor, labels: Tensor) -> None:
        self.recorder.judged(scores, labels)

    def trained(self, epoch: int) -> None:
        self.recorder.trained(epoch)

    def validated(self, epoch: int, loss: float, accuracy: float, examples: int) -> None:
        self.clock.lap("evaluation")
        self.recorder.validated(epoch, loss, accuracy, examples, self.clock.step("validation")._asdict())
        self.debugger.validated(loss)
        if self.settings or self.args.profile or self.args.checkpoint_dir:  # else nobody reads before the end
            self.recorder.flush()

    def epoch_ended(self) -> None:
        """Behind the epoch's checkpoint, which a rule that stops the training leaves there by raising Refusal."""
        self.clock.lap("checkpoint")
        if self.settings or self.args.profile:
            self.sharing.share()
        self.jury.ask(self.job, only_stopping=False)
        self.clock.lap("logging")

    def close(self, well: bool) -> None:
        """Leaves tables, verdicts and profile, also of half a training: one that did not end `well`."""
        if self.sampler is not None:
            self.sampler.stop()
            self.system.close()
        if self.watching:
            self.recorder.close()
            self.debugger.close()
        self.clock.lap("export" if well else "other")
        table = self.window.close(self.folder) if self.window is not None else None
        self.clock.lap("profiling")
        job = self.clock.close()
        if not self.watching or not (self.jury.rules or self.window):
            return
        read = self.jury.reader.look()
        bodies = self.jury.report(self.job, read, well) if self.jury.rules else []
        if self.window is not None:
            self._draw(read, job, table, bodies)

    def _draw(
        self,
        read: records.Records,
        job: dict[str, Any],
        table: dict[str, Any] | None,
        bodies: list[dict[str, Any]],
    ) -> None:
        facts = self.sampler.machine.facts() if self.sampler and self.sampler.machine else None
        try:
            profiler_report.write(self.folder, profile.figures(read, job, table, facts), bodies)
        except Exception as error:  # no page may fail a training of hours, whose model is saved
            last = traceback.extract_tb(error.__traceback__)[-1]
            progress.say(
                f"health: no profile ({Path(last.filename).name}, line {last.lineno}: {own_rule.cause(error)})"
            )


@contextlib.contextmanager
def opened(
    args: argparse.Namespace, device: torch.device, world: World, argv: list[str] | None, env: Mapping[str, str]
) -> Iterator[Health]:
    """Without `argv` this process was started for the training, and its age is start-up."""
    age = 0.0 if argv else timers.process_age()
    health = Health(args, device, world, age, None if argv else timers.download_seconds(env, age), env)
    try:
        yield health
    except BaseException:
        with contextlib.suppress(OSError, RuntimeError):  # a full disk, a lost GPU: what came before it counts
            health.close(well=False)
        raise
    health.close(well=True)


def limits(settings: tuple[judging.Setting, ...]) -> Limits:
    saturated: Mapping[str, Any] = judging.effective(settings, "SaturatedActivation")
    dead: Mapping[str, Any] = judging.effective(settings, "DeadRelu")
    return Limits(saturated["threshold_sigmoid"], saturated["threshold_tanh"], dead["threshold_inactivity"])


def _clear(folder: Path, ranks: int, resumed: bool) -> None:
    """What an earlier training left there, of more processes maybe, is nothing of this one."""
    for name in ENDS if resumed else (*ENDS, records.path(folder, "system").name):
        (folder / name).unlink(missing_ok=True)
    for file in folder.glob("*-*.*"):
        rank = file.stem.partition("-")[2]
        if rank.isdecimal() and int(rank) >= ranks:
            file.unlink()
