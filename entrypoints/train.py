"""TrainModel, and each trial of TuneModel: two prepared splits become a model archive and its figures."""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import jsonfile
import torch
from data import Split, open_split
from health import watching
from health.watching import Health
from refusal import Refusal, exit_code, leave
from torch import Tensor
from training import (
    averaging,
    convolutions,
    distributed,
    export,
    features,
    freezing,
    hyperparameters,
    interruption,
    machine,
    mixing,
    optimizers,
    packing,
    precision,
    progress,
    rehearsal,
    resuming,
    schedules,
    starting,
    stopping,
    validating,
)
from training.batches import class_weights
from training.distributed import World
from training.interruption import Interruption
from training.progress import Epoch
from training.resuming import Position

CHECKED_EVERY = 10  # steps between looks at the loss: each look waits for the device


def main(argv: list[str] | None = None, env: Mapping[str, str] = os.environ) -> int:
    note = hyperparameters.failure_file(argv, env)
    return exit_code(lambda: _train_or_launch(argv, env, note), note)


def _train_or_launch(argv: list[str] | None, env: Mapping[str, str], note: Path | None) -> None:
    """On several hosts or GPUs this program starts itself once more for each process, numbered by torchrun."""
    args, device = hyperparameters.parse(argv, env), machine.device(env)
    machine.keep_memory()
    if machine.is_launcher(env):
        from training import launching  # torchrun is not needed by one process

        launching.launch(sys.argv[1:] if argv is None else argv, env, note)
    else:
        with (
            interruption.noticed() as interrupted,
            distributed.joined(env, device, note) as world,
            watching.opened(args, device, world, argv, env) as health,
        ):
            train(args, device, world, health, interrupted)


def train(
    args: argparse.Namespace, device: torch.device, world: World, health: Health, interrupted: Interruption
) -> None:
    started = time.perf_counter()
    training, validation = open_split(args.train_dir), open_split(args.validation_dir)
    _refuse_mismatch(training, validation)
    world.refuse_thin(min(args.batch_size, len(training)))
    torch.manual_seed(args.seed)
    order, mixing_random = (torch.Generator().manual_seed(args.seed) for _ in range(2))
    network = starting.network(args, training)
    export.rehearse(args, network, training.image_size)
    network = network.to(device, memory_format=torch.channels_last)
    convolutions.prepare(network, device)
    dtype = precision.chosen(args.precision, network, training.image_size, device)
    lower = dtype is not torch.float32
    autocast = torch.autocast(device.type, dtype if lower else torch.bfloat16, enabled=lower)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype is torch.float16)
    rehearsal.rehearse(args, network, training, autocast, world)
    featuring = time.perf_counter()
    batches, check, learner = features.shown(args, (training, validation), network, device, dtype, world)
    featured = time.perf_counter() - featuring
    optimizer = optimizers.build(learner, args)
    average = averaging.Average(learner, args.ema)
    best = stopping.Best(args.early_stopping)
    balance = class_weights(args.class_weights, training, device)
    steps = batches.steps(args.batch_size)
    updates = math.ceil(steps / args.accumulate)
    saved = {"network": learner, "optimizer": optimizer, "scaler": scaler, "average": average, "best": best}
    checkpoint = resuming.Resumable(args, saved, (order, mixing_random), world, interrupted)
    learning = world.learning(learner, args.sync_batch_norm)
    world.draw_apart(args.seed)
    start = checkpoint.resume(device)
    epochs = progress.resumed(start.epochs, args.output_data_dir, world.first)
    health.watches(learner, training, updates, start)

    for epoch in range(start.epoch, args.epochs + 1):
        began = time.perf_counter()
        first, total = (start.step, start.total) if epoch == start.epoch else (0, torch.zeros((), device=device))
        checkpoint.begin()
        freezing.train_mode(learner)
        shown = batches.shuffled(args.batch_size, args.augment, order, args.sampling, first, health.lap)
        for step, (pictures, labels) in enumerate(shown, first):
            update, part = divmod(step, args.accumulate)
            parts = min(args.accumulate, steps - update * args.accumulate)  # the last step may have fewer
            last, now = part == parts - 1, (epoch - 1) * updates + update
            health.begins(now)
            done = now / (args.epochs * updates)
            lr = optimizer.param_groups[0]["lr"] = args.lr * schedules.factor(args.schedule, args.warmup, done)
            pictures, target = mixing.mixed(pictures, labels, args.mixup, args.cutmix, mixing_random)
            world.sync(learning, last)
            with autocast:
                scores = learning(pictures)
            loss = mixing.loss(scores.float(), target, balance, args.label_smoothing)
            loss, whole = world.loss(loss, labels, balance)
            health.forward(labels, whole)
            scaler.scale(loss / parts).backward()
            health.backward(scaler, last)
            total += whole
            if step % CHECKED_EVERY == 0 or step == steps - 1:
                _refuse_divergence(total, epoch, step, args.lr)
            health.lap("logging")
            if last:
                optimizers.step(optimizer, scaler, args.clip_norm)
                average.update(learner)
                health.stepped(epoch, lr)
                if checkpoint.due() and step < steps - 1:
                    health.saved()
                    checkpoint.save(Position(epoch, step + 1, total, epochs))
                health.lap("checkpoint")
        health.trained(epoch)
        trained = time.perf_counter()
        world.alike(average.network)
        validation_loss, accuracy = validating.measured(average.network, check, autocast, health.judged)
        health.validated(epoch, validation_loss, accuracy, len(validation))
        ended = time.perf_counter()
        seconds = round(trained - began, 3), round(ended - trained, 3)
        epochs.append(Epoch(epoch, total.item() / steps, validation_loss, accuracy, lr, *seconds))
        if world.first:
            progress.log(epochs[-1], args.output_data_dir)
        stopped = best.stops(epoch, validation_loss, average.network)
        checkpoint.begin()
        checkpoint.save(Position(args.epochs + 1 if stopped else epoch + 1, 0, torch.zeros(()), epochs))
        health.epoch_ended()
        if stopped:
            break

    fitting = time.perf_counter()
    kept = epochs[best.restore(average.network) - 1]
    _refuse_unsure(kept, args.lr)
    temperature = validating.temperature(average.network, check, autocast)
    if not world.first:
        return
    saving = time.perf_counter()
    packing.save(args, features.whole(network, learner, average.network), training, kept, temperature)
    export.add(args, validation)
    checkpoint.remove()
    ended = time.perf_counter()
    apart = {"features": featured, "temperature": saving - fitting, "saving": ended - saving}
    report = {
        **progress.settings(args, training, validation),
        "class_weights": None if balance is None else training.manifest["class_weights"],
        "processes": world.size,
        "device": device.type,
        "threads": torch.get_num_threads(),
        "precision": str(dtype).removeprefix("torch."),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "kept_epoch": kept.epoch,
        "resumed_at": {"epoch": start.epoch, "step": start.step} if start.epochs or start.step else None,
        "epochs": [progress.figures(epoch) for epoch in epochs],
        "seconds": progress.seconds(epochs[len(start.epochs) :], ended - started, apart),
        "versions": progress.versions(),
    }
    jsonfile.write(args.output_data_dir / "report" / "training.json", report)


def _refuse_mismatch(training: Split, validation: Split) -> None:
    for key in ("classes", "image_size", "stored_size", "square", "source", "settings"):
        if training.manifest.get(key) != validation.manifest.get(key):
            raise Refusal(
                f"{training.folder} and {validation.folder} were not prepared together ({key!r} differs): take both "
                "channels from one PrepareData"
            )
    if len(training) < 2:
        raise Refusal(f"{training.folder}: 1 picture is not enough to train on: add pictures")


def _refuse_unsure(kept: Epoch, lr: float) -> None:
    """One epoch without a validation loss may pass, its model may not."""
    if not math.isfinite(kept.validation_loss):
        raise Refusal(
            f"the validation loss is {kept.validation_loss} after epoch {kept.epoch}, though training's is "
            f"{kept.train_loss:.4g}: lower lr, for example to {lr / 10:g}, or raise batch_size, since batch norm "
            "judges validation by what it saw in training; early_stopping keeps an earlier epoch"
        )


def _refuse_divergence(total: Tensor, epoch: int, step: int, lr: float) -> None:
    if not math.isfinite(total.item()):
        raise Refusal(
            f"the loss became {total.item()} by step {step + 1} of epoch {epoch} with lr={lr:g}: lower lr, for example "
            f"to {lr / 10:g}, or its range in tuning"
        )


if __name__ == "__main__":
    leave(main())
