"""The network that training starts from."""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import custom
import model
import neighbours
from data import Split
from torch import nn

from training import freezing, packing, progress, weights


def network(args: argparse.Namespace, training: Split) -> nn.Module:
    """With the weights of a channel where there is one, and only the wanted layers left to train."""
    classes = training.classes
    file = Path(args.model_file) if args.model_file else None
    if file:
        built = custom.build(file, len(classes), args.dropout)
    else:
        neighbours.forget()
        built = model.build(args.model, len(classes), args.stem, args.dropout)
    custom.check(built, len(classes), training.image_size, file)
    if file and (args.ema or args.onnx):
        with custom.blaming(file, "its network cannot be copied, which ema and model.onnx need"):
            copy.deepcopy(built)
    if args.weights_dir:
        progress.say(weights.load_pretrained(built, args.weights_dir))
    elif args.warm_start_dir:
        known = packing.architecture(args, len(classes))
        progress.say(weights.warm_start(built, args.warm_start_dir, known, classes))
    elif args.trainable_layers != "all":
        progress.say("what trainable_layers freezes keeps its random weights: give the channel weights or warm_start")
    trained = freezing.freeze(built, args.trainable_layers)
    if args.trainable_layers != "all":
        progress.say(f"trained: {trained:,} of {sum(each.numel() for each in built.parameters()):,} parameters")
    return built
