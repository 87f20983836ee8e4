"""The arguments of training: names, ranges and defaults, and where SageMaker's variables say that things are."""

from __future__ import annotations

import argparse
import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from health.rules import settings as rule_settings
from refusal import Parser, Refusal

from training import checkpoints

NAMES = (
    "model",
    "stem",
    "model_file",
    "dropout",
    "trainable_layers",
    "epochs",
    "lr",
    "schedule",
    "warmup",
    "batch_size",
    "accumulate",
)
NAMES = (*NAMES, "optimizer", "momentum", "weight_decay", "clip_norm", "ema", "early_stopping", "label_smoothing")
NAMES = (*NAMES, "augment", "mixup", "cutmix", "sampling", "class_weights", "sync_batch_norm", "precision", "seed")

FOLDERS = {
    "--train-dir": "SM_CHANNEL_TRAIN",
    "--validation-dir": "SM_CHANNEL_VALIDATION",
    "--model-dir": "SM_MODEL_DIR",
    "--output-data-dir": "SM_OUTPUT_DATA_DIR",
}
CHANNELS = {  # that may be absent
    "--weights-dir": ("SM_CHANNEL_WEIGHTS", "holds a torchvision state dict to start from, .pt or .pth"),
    "--warm-start-dir": ("SM_CHANNEL_WARM_START", "holds the model.tar.gz of an earlier training to start from"),
}


def parse(argv: list[str] | None = None, env: Mapping[str, str] = os.environ) -> argparse.Namespace:
    """Raises Refusal for the first value that is out of range, unknown or missing."""
    args = parser(env).parse_args(argv)
    if args.model_dir and args.output_data_dir is None:  # by hand, three folders are enough
        folder = args.model_dir.absolute()
        args.output_data_dir = folder.with_name(f"{folder.name}-output")
    for option, variable in FOLDERS.items():
        if getattr(args, option.strip("-").replace("-", "_")) is None:
            raise Refusal(f"no folder for {option}: give it, or set {variable} as SageMaker does")
    if args.weights_dir and args.warm_start_dir:
        raise Refusal("both --weights-dir and --warm-start-dir are given (channels weights and warm_start): take one")
    if args.model_file and (args.model or args.stem != "torchvision"):
        raise Refusal(f"--model or --stem beside --model_file {args.model_file}: the network is the file's: drop them")
    if not args.model_file:
        args.model = args.model or "resnet18"
    return args


def parser(env: Mapping[str, str] = os.environ) -> Parser:
    """Every value is checked by its type, so that no other character reaches the program."""
    parser = Parser(description="TrainModel, and each trial of TuneModel: prepared splits become a model archive.")
    add = parser.add_argument
    add("--model", type=_word, help="a torchvision classifier; default: resnet18")
    add("--stem", choices=("torchvision", "small"), default="torchvision")
    add("--model_file", type=_python_file, help="in its place: a Python file with a function build(num_classes)")
    add("--dropout", type=_number(0, 0.9, "0.2"), default=0.0, help="before the last layer")
    add("--trainable_layers", type=_layers, default="all", help="blocks from the top; 0: the head only")
    add("--epochs", type=_whole(1, 10_000), default=8)
    add("--lr", type=_number(0, 100, "0.05", above=True), default=0.05)
    add("--schedule", choices=("onecycle", "cosine", "constant"), default="onecycle")
    add("--warmup", type=_number(0, 0.9, "0.25"), default=0.25, help="share of all steps")
    add("--batch_size", type=_whole(1, 65_536), default=64)
    add("--accumulate", type=_whole(1, 1024), default=1, help="batches whose gradients make one step")
    add("--optimizer", choices=("sgd", "adam", "adamw"), default="sgd")
    add("--momentum", type=_number(0, 0.9999, "0.9"), default=0.9)
    add("--weight_decay", type=_number(0, 1, "0.0005"), default=0.0005)
    add("--clip_norm", type=_number(0, 1e6, "1"), default=0.0, help="longest gradient of all weights; 0: any")
    add(
        "--ema",
        type=_number(0, 0.99999, "0.999"),
        default=0.0,
        help="decay of a moving average of the weights; 0: none",
    )
    add("--early_stopping", type=_whole(0, 10_000), default=0, help="epochs without a lower validation loss; 0: never")
    add("--label_smoothing", type=_number(0, 0.9, "0.1"), default=0.1)
    add("--augment", choices=("none", "flip", "shift"), default="none")
    add("--mixup", type=_number(0, 10, "0.2"), default=0.0, help="alpha; 0: off")
    add("--cutmix", type=_number(0, 10, "1"), default=0.0, help="alpha; 0: off")
    add("--sampling", choices=("shuffled", "balanced"), default="shuffled", help="balanced: rare classes are seen more")
    add("--class_weights", choices=("none", "balanced"), default="none", help="balanced: rare classes count for more")
    add("--sync_batch_norm", type=_yes, default=False, help="several GPUs: its statistics are those of whole batches")
    add("--precision", choices=("auto", "float32", "bfloat16", "float16"), default="auto")
    add("--seed", type=_whole(0, 2**31 - 1), default=0)
    add("--onnx", type=_yes, default=False, help="the model archive holds model.onnx as well")
    add("--unsure_below", type=_number(0, 1, "0.5"), default=0.0, help="a probability: answers below it say so")
    add("--top", type=_whole(1, 1000), default=5, help="classes that an answer names")
    add("--health_rules", type=rule_settings.parse, default="none", help="as docs/health.md writes them")
    add("--health_every", type=_whole(0, 1_000_000), default=0, help="steps between records of tensors; 0: by length")
    add("--profile", type=_yes, default=False, help="profiler-report.html, of times, operators and the machine")
    add("--_tuning_objective_metric", help=argparse.SUPPRESS)  # tuning adds it; only some launchers take it away
    for option, variable in FOLDERS.items():
        add(option, type=Path, default=Path(env[variable]) if env.get(variable) else None)
    for option, (variable, words) in CHANNELS.items():
        add(option, type=_folder, default=_folder(env.get(variable, "")), help=words)
    add("--checkpoint-dir", type=_folder, default=checkpoints.place(env), help='"": none')
    add("--checkpoint_minutes", type=_number(0, 10_000, "10"), default=10.0, help="0: after each epoch only")
    return parser


def failure_file(argv: list[str] | None, env: Mapping[str, str] = os.environ) -> Path | None:
    """Known before the arguments are judged: SM_OUTPUT_DIR, or the parent of the output data folder."""
    if env.get("SM_OUTPUT_DIR"):
        return Path(env["SM_OUTPUT_DIR"], "failure")
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--output-data-dir", nargs="?", default=env.get("SM_OUTPUT_DATA_DIR"))
    folder = early.parse_known_args(argv)[0].output_data_dir
    return Path(folder).absolute().parent / "failure" if folder else None


def _folder(text: str) -> Path | None:
    return Path(text) if text else None


def _word(text: str) -> str:
    if not re.fullmatch("[A-Za-z0-9_]+", text):
        raise argparse.ArgumentTypeError(f"{text!r}: take letters, digits and underscores only, such as resnet18")
    return text


def _python_file(text: str) -> str:
    if not re.fullmatch("[A-Za-z0-9_./][A-Za-z0-9_./-]*[.]py", text):
        raise argparse.ArgumentTypeError(
            f"{text!r}: take the path of a .py file, of letters, digits and _./- only, such as nets/mine.py"
        )
    return text


def _yes(text: str) -> bool:
    """As SageMaker's toolkit writes what is true, or JSON."""
    if text not in ("True", "False", "true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r}: take true or false")
    return text.lower() == "true"


def _layers(text: str) -> str | int:
    if text == "all":
        return text
    if not re.fullmatch("[0-9]{1,4}", text):
        raise argparse.ArgumentTypeError(f"{text!r}: take all, or a whole number of blocks, 0 for the head only")
    return int(text)


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch("[0-9]{1,10}", text) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r}: take a whole number from {low} to {high}")
        return int(text)

    return parse


def _number(low: float, high: float, example: str, above: bool = False) -> Callable[[str], float]:
    """No blanks, underscores or words, which float() would take."""

    def parse(text: str) -> float:
        try:
            value = float(text) if re.fullmatch("[0-9.eE+-]+", text) else math.nan
        except ValueError:
            value = math.nan
        if not low <= value <= high or (above and value == low):  # NaN compares False
            bounds = f"above {low:g} and up to {high:g}" if above else f"from {low:g} to {high:g}"
            raise argparse.ArgumentTypeError(f"{text!r}: take a number {bounds}, such as {example}")
        return value

    return parse
