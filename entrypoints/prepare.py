"""PrepareData: pictures from anywhere become three splits of equal squares, after a doctor has looked at them."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonfile
import numpy as np
from numpy.typing import NDArray
from preparation import doctor, drawings, shards, split, staging
from preparation.sources import KINDS, SPLITS, Source, open_source
from refusal import Parser, Refusal, exit_code, note_file

HELD_OUT = ("cifar10", "cifar100")  # kinds that bring a test split of their own


def parser() -> Parser:
    parser = Parser(description=__doc__)
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--manifest", default="", help="CSV or JSON Lines file in the source, for kind manifest")
    parser.add_argument("--image-size", type=int, default=32, help="side of what the model sees in pixels, 8 to 1024")
    parser.add_argument("--square", choices=("crop", "pad"), default="crop", help="how a picture becomes a square")
    parser.add_argument("--raw-limit-mib", type=int, default=8192, help="more pixels than that are kept as JPEG")
    parser.add_argument("--validation-fraction", type=float, default=0.15)
    parser.add_argument("--test-fraction", type=float, default=0.15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--doctor", action="append", default=[], metavar="NAME=VALUE", help="what to do about findings")
    parser.add_argument("--processes", type=int, default=0, help="0: one for each core")
    parser.add_argument("--input-dir", type=Path, default=Path("/opt/ml/processing/input/dataset"))
    parser.add_argument("--output-dir", type=Path, default=Path("/opt/ml/processing/output"))
    parser.add_argument("--message-file", type=Path, default=Path("/opt/ml/output/message"))
    return parser


def main(argv: list[str] | None = None) -> int:
    note = note_file(argv, parser().get_default("message_file"))
    return exit_code(lambda: prepare(checked(parser().parse_args(argv))), note)


def checked(args: argparse.Namespace) -> argparse.Namespace:
    if not 8 <= args.image_size <= 1024:
        raise Refusal(f"--image-size {args.image_size}: take 8 to 1024 pixels")
    if args.kind in HELD_OUT:
        args.test_fraction = 0.0  # its test part is given
    for name in ("validation_fraction", "test_fraction"):
        if not 0 < getattr(args, name) < 1 and not (name == "test_fraction" and args.kind in HELD_OUT):
            raise Refusal(
                f"--{name.replace('_', '-')} {getattr(args, name)}: take a share between 0 and 1, such as 0.15"
            )
    if args.validation_fraction + args.test_fraction >= 1:
        total = args.validation_fraction + args.test_fraction
        raise Refusal(f"validation and test take {total:g} of the pictures and leave none to train on: lower one")
    for name, least in (("seed", 0), ("raw_limit_mib", 0), ("processes", 0)):
        if getattr(args, name) < least:
            raise Refusal(f"--{name.replace('_', '-')} {getattr(args, name)}: take {least} or more")
    args.doctor = doctor.Settings.parse(args.doctor)
    return args


def prepare(args: argparse.Namespace) -> None:
    args.output_dir.mkdir(parents=True, exist_ok=True)
    with alone(args.output_dir):
        for name in SPLITS:
            shards.clear(args.output_dir / name)
        try:
            make(args)
        except (Refusal, OSError):
            with contextlib.suppress(OSError):  # makes room for the reason where the disk is full
                for name in SPLITS:
                    shards.clear(args.output_dir / name)
            raise


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Two at once would put their shards into one split. The lock is the kernel's, and ends with this process."""
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        raise Refusal(f"{folder}: another prepare.py writes there: wait for it, or give another --output-dir") from None
    except OSError:  # a file system without locks
        pass
    try:
        yield
    finally:
        os.close(held)


def make(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        source = open_source(args.kind, args.input_dir, Path(scratch), args.manifest)
        if len(source.classes) < 2:
            raise Refusal(f"only one class, {source.classes[0]!r}: a classifier needs at least two")
        size = staging.stored_size(args.kind, args.image_size)
        limit = args.raw_limit_mib * 2**20
        staged = staging.stage(source, Path(scratch), size, args.square, limit, args.processes)
        fractions = {"validation": args.validation_fraction, "test": args.test_fraction}
        assigned = split.assign(source, fractions, args.seed)
        diagnosis = doctor.examine(source, staged, assigned, args.doctor, args.image_size)
        write(args, source, staged, diagnosis)


def write(args: argparse.Namespace, source: Source, staged: staging.Staged, diagnosis: doctor.Diagnosis) -> None:
    """Splits under their temporary names, the report, and last the manifests: they make the splits count."""
    chosen = {name: np.flatnonzero(diagnosis.splits == number) for number, name in enumerate(SPLITS)}
    written = {
        name: shards.write_split(args.output_dir / name, staged, indices, source.items)
        for name, indices in chosen.items()
    }
    counts = {name: _counts(source, indices) for name, indices in chosen.items()}
    shared = _shared(args, source, staged, diagnosis, written["train"][1])
    report = args.output_dir / "report"
    pictures = drawings.draw(report, source, staged, diagnosis, args.image_size)
    drawings.samples(report / "samples", source, staged, diagnosis.splits)
    body = {**shared, "counts": counts, "findings": diagnosis.findings, "pictures": pictures}
    jsonfile.write(report / "dataset.json", body)
    for name, (files, _) in written.items():
        manifest = {"split": name, "count": len(chosen[name]), "counts": counts[name], **shared}
        shards.publish(args.output_dir / name, files, manifest)
    _say(source, staged, chosen, diagnosis)


def _shared(
    args: argparse.Namespace,
    source: Source,
    staged: staging.Staged,
    diagnosis: doctor.Diagnosis,
    sums: shards.ChannelSums,
) -> dict[str, Any]:
    """What dataset.json and the manifests of all splits say alike; `sums` are those of train."""
    return {
        "classes": list(source.classes),
        "image_size": args.image_size,
        "stored_size": staged.size,
        "square": args.square,
        "encoding": staged.encoding,
        "mean": sums.mean(),
        "deviation": sums.deviation(),
        "class_weights": diagnosis.class_weights,
        "source": {"kind": source.kind, "digest": source.digest},
        "settings": _settings(args),
    }


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    names = ("image_size", "square", "validation_fraction", "test_fraction", "seed")
    return {**{name: getattr(args, name) for name in names}, "doctor": args.doctor._asdict()}


def _counts(source: Source, indices: NDArray[np.int64]) -> dict[str, int]:
    found = np.bincount([source.items[index].label for index in indices], minlength=len(source.classes))
    return {name: int(count) for name, count in zip(source.classes, found, strict=True)}


def _say(
    source: Source, staged: staging.Staged, chosen: dict[str, NDArray[np.int64]], diagnosis: doctor.Diagnosis
) -> None:
    for finding in diagnosis.findings:
        print(f"{finding['finding']}: {finding['count']} ({finding['action']})", flush=True)
    totals = ", ".join(f"{len(indices)} {name}" for name, indices in chosen.items())
    print(f"{len(source.classes)} classes: {totals} pictures of {staged.size} x {staged.size}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
