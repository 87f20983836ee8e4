"""PrepareData: a folder of pictures becomes three splits of equal squares, ready to be mapped by training."""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import images
import jsonfile
import numpy as np
import shards
from numpy.typing import NDArray
from refusal import Parser, Refusal, exit_code, note_file
from sources import SPLITS, Item, Source, digest, open_folder, write_digits
from split import assign

SAMPLES_PER_CLASS = 3
SAMPLED_CLASSES = 200
LISTED = 5  # unreadable files that the error names; the rest is a number


def parser() -> Parser:
    parser = Parser(description=__doc__)
    parser.add_argument("--kind", choices=("digits", "imagefolder"), required=True)
    parser.add_argument("--image-size", type=int, default=32, help="side of the squares in pixels, 8 to 1024")
    parser.add_argument("--validation-fraction", type=float, default=0.15)
    parser.add_argument("--test-fraction", type=float, default=0.15)
    parser.add_argument("--seed", type=int, default=0)
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
    for name in ("validation_fraction", "test_fraction"):
        if not 0 < getattr(args, name) < 1:
            raise Refusal(
                f"--{name.replace('_', '-')} {getattr(args, name)}: take a share between 0 and 1, such as 0.15"
            )
    if args.validation_fraction + args.test_fraction >= 1:
        total = args.validation_fraction + args.test_fraction
        raise Refusal(f"validation and test take {total:g} of the pictures and leave none to train on: lower one")
    if args.seed < 0:
        raise Refusal(f"--seed {args.seed}: take 0 or more")
    return args


def prepare(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.input_dir
        if args.kind == "digits":
            folder = Path(scratch, "digits")
            write_digits(folder)
        source = open_folder(folder)
        write_splits(args, source)


def write_splits(args: argparse.Namespace, source: Source) -> None:
    if len(source.classes) < 2:
        raise Refusal(f"only one class, {source.classes[0]!r}: a classifier needs at least two class folders")
    settings = {name: getattr(args, name) for name in ("image_size", "validation_fraction", "test_fraction", "seed")}
    splits = assign(source, {"validation": args.validation_fraction, "test": args.test_fraction}, args.seed)
    described = {"kind": args.kind, "digest": digest([item for items in splits.values() for item in items])}
    written = {}
    unreadable: list[str] = []
    for split, items in splits.items():
        shards.clear(args.output_dir / split)
        rows = _rows(items, args.image_size, unreadable)
        written[split] = shards.write(args.output_dir / split, rows, args.image_size)
    _refuse_unreadable(unreadable)
    sums = written["train"][1]
    shared = {
        "classes": list(source.classes),
        "image_size": args.image_size,
        "mean": sums.mean(),
        "deviation": sums.deviation(),
        "source": described,
        "settings": settings,
    }
    counts = {split: _counts(items, source.classes) for split, items in splits.items()}
    for split, (files, _) in written.items():
        body = {"split": split, "count": len(splits[split]), "counts": counts[split], **shared}
        shards.publish(args.output_dir / split, files, body)
    body = {**shared, "counts": counts, "findings": _findings(source, counts)}
    jsonfile.write(args.output_dir / "report" / "dataset.json", body)
    _samples(args.output_dir / "report" / "samples", splits["test"], source.classes, args.image_size)
    totals = ", ".join(f"{len(items)} {split}" for split, items in splits.items())
    print(f"{len(source.classes)} classes: {totals} pictures of {args.image_size} x {args.image_size}", flush=True)


def _rows(items: list[Item], size: int, unreadable: list[str]) -> Iterator[tuple[NDArray[np.uint8], int, str]]:
    for item in items:
        try:
            yield images.read(item.path.read_bytes(), size), item.label, item.name
        except images.Unreadable as reason:
            unreadable.append(f"{item.name}: {reason}")


def _refuse_unreadable(unreadable: list[str]) -> None:
    if not unreadable:
        return
    count = "1 picture" if len(unreadable) == 1 else f"{len(unreadable)} pictures"
    more = f"; and {len(unreadable) - LISTED} more" if len(unreadable) > LISTED else ""
    listed = "; ".join(unreadable[:LISTED])
    raise Refusal(f"{count} cannot be read ({listed}{more}): replace or remove them, then start again")


def _counts(items: list[Item], classes: tuple[str, ...]) -> dict[str, int]:
    found = np.bincount([item.label for item in items], minlength=len(classes))
    return {name: int(count) for name, count in zip(classes, found, strict=True)}


def _findings(source: Source, counts: dict[str, dict[str, int]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if source.ignored:
        found.append({"finding": "ignored_files", "count": len(source.ignored), "files": list(source.ignored[:100])})
    for split in SPLITS:
        empty = [name for name, count in counts[split].items() if not count]
        if empty:
            found.append({"finding": "classes_without_pictures", "split": split, "count": len(empty), "classes": empty})
    return found


def _samples(folder: Path, items: list[Item], classes: tuple[str, ...], size: int) -> None:
    """A few test pictures a class as they were prepared, for `darkroom predict` and the report."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    for label, name in enumerate(classes[:SAMPLED_CLASSES]):
        safe = re.sub(r"[^A-Za-z0-9._-]", "-", name)
        for number, item in enumerate([item for item in items if item.label == label][:SAMPLES_PER_CLASS]):
            (folder / f"{safe}_{number}.png").write_bytes(images.png(images.read(item.path.read_bytes(), size)))


if __name__ == "__main__":
    sys.exit(main())
