"""Somebody's own network, from a Python file that travels with train.py; as a program: does it build and answer?"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import model
import neighbours
import torch
from refusal import Parser, Refusal, exit_code
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.parameter import is_lazy


def main(argv: list[str] | None = None) -> int:
    """What `darkroom validate` starts: trains nothing, writes nothing."""
    parser = Parser(description=__doc__)
    parser.add_argument("file", type=Path, help="has a function build(num_classes)")
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--image_size", type=int, default=32)
    return exit_code(lambda: _tell(parser.parse_args(argv)), None)


def build(file: Path, num_classes: int, dropout: float = 0.0) -> nn.Module:
    """Somebody's own network: what `build(num_classes)` of this Python file returns. Its code is run, and that of the
    files beside it that it imports."""
    if not file.is_file():
        raise Refusal(f"{file}: no such file, and model_file names it: ship it beside train.py")
    neighbours.look_beside(file)
    module = ModuleType(f"own_{file.stem}")
    module.__file__ = str(file)
    sys.modules[module.__name__] = module  # dataclasses look there for their module
    with blaming(file, "it does not run"):
        exec(compile(file.read_bytes(), str(file), "exec", dont_inherit=True), module.__dict__)
    make = getattr(module, "build", None)
    if not callable(make):
        raise Refusal(f"{file}: no function build: write def build(num_classes: int) -> torch.nn.Module")
    with blaming(file, f"build({num_classes}) failed"):
        network = make(num_classes)
    if not isinstance(network, nn.Module):
        raise Refusal(f"{file}: build({num_classes}) returned a {type(network).__name__}: return a torch.nn.Module")
    if any(is_lazy(parameter) for parameter in network.parameters()):
        raise Refusal(f"{file}: the network has lazy layers, whose weights do not exist yet: give their widths")
    if not any(True for _ in network.parameters()):
        raise Refusal(f"{file}: the network of build({num_classes}) has no parameters, so nothing can be trained")
    if model.outputs(network) != num_classes:
        raise Refusal(
            f"{file}: the last linear layer or convolution of the network, {model.head_name(network)}, gives "
            f"{model.outputs(network)} values for {num_classes} classes: register nn.Linear(…, num_classes) last"
        )
    if dropout:
        model.drop_before_head(network, dropout)
    return network


def check(network: nn.Module, num_classes: int, image_size: int, file: Path | None = None) -> None:
    """Runs two blank pictures as in training and in evaluation; changes neither statistics nor random states.

    `file` is the one that the network is built from, when it is somebody's own. Weights and pictures lie in memory as
    in training, pixel by pixel: there, Tensor.view fails after a convolution, and Tensor.flatten does not.
    """
    where = next(network.parameters()).device
    pictures = torch.zeros(2, 3, image_size, image_size, device=where).to(memory_format=torch.channels_last)
    with blaming(file, "its weights cannot lie in memory pixel by pixel"):
        network.to(memory_format=torch.channels_last)
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    training = network.training
    gpus = [where] if where.type == "cuda" else []
    subject = f"{file}: the network" if file else "the network"
    for kept, count in ((True, 2), (False, 2), (False, 1))[: 3 if file else 2]:  # the endpoint asks about one
        network.train(kept)
        phase = "in training" if kept else "in evaluation"
        with (
            torch.random.fork_rng(gpus),
            torch.no_grad(),
            blaming(file, f"pictures of {image_size} px failed {phase}"),
        ):
            scores = functional_call(network, buffers, (pictures[:count],))
        if not isinstance(scores, Tensor) or scores.shape != (count, num_classes):
            got = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise Refusal(
                f"{subject} gives {got} for {count} picture{'s' * (count > 1)} {phase}: {num_classes} classes need "
                f"({count}, {num_classes})"
            )
    network.train(training)


@contextmanager
def blaming(file: Path | None, what: str) -> Iterator[None]:
    """Whatever somebody's own code raises, a call of exit() included, ends the job with that code's line."""
    try:
        yield
    except (Exception, SystemExit) as error:
        reason = (str(error) or "no reason given").splitlines()[0]
        cause = f"{type(error).__name__}: {reason}"
        if file is None:
            raise Refusal(f"{what} ({cause}): set image_size or model to what fits the other") from None
        raise Refusal(f"{_place(file, error)}: {what} ({cause}): mend the file") from None


def _place(file: Path, error: BaseException) -> str:
    """The last line of its own code that ran, be it of a file beside it."""
    own = {str(file), *map(str, neighbours.files().values())}
    places = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError):
        places.append((error.filename or "", error.lineno))
    mine = [place for place in places if place[0] in own]
    return f"{mine[-1][0]}, line {mine[-1][1]}" if mine else str(file)


def _tell(args: argparse.Namespace) -> None:
    network = build(args.file, args.classes)
    check(network, args.classes, args.image_size, args.file)
    count = sum(parameter.numel() for parameter in network.parameters())
    print(f"{count:,} parameters; {args.image_size} px and {args.classes} classes fit")


if __name__ == "__main__":
    sys.exit(main())
