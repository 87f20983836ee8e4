"""Where pictures come from: a tree of class folders, CIFAR's pickles, a list of files with labels, or the digits."""

from __future__ import annotations

from pathlib import Path

from refusal import Refusal

from preparation import cifar, digits, imagefolder, labels, trees
from preparation.items import SPLITS, Item, Source

__all__ = ["KINDS", "SPLITS", "Item", "Source", "open_source"]

KINDS = ("digits", "imagefolder", "cifar10", "cifar100", "manifest")


def open_source(kind: str, folder: Path, scratch: Path, manifest: str = "") -> Source:
    """`folder` holds files or exactly one archive; `scratch` takes what has to be unpacked while the source is used.

    Raises Refusal for what is no such source.
    """
    match kind:
        case "digits":
            return digits.open_digits()
        case "imagefolder":
            return imagefolder.open_folders(trees.open_tree(folder, scratch))
        case "cifar10" | "cifar100":
            return cifar.open_cifar(kind, trees.open_tree(folder, scratch))
        case "manifest":
            return labels.open_labels(trees.open_tree(folder, scratch), manifest)
        case _:
            raise Refusal(f"dataset.kind {kind!r}: take digits, imagefolder, cifar10, cifar100 or manifest")
