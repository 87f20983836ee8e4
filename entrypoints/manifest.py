"""The manifest of a prepared split: what it has to say before a shard of it is opened."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from refusal import Refusal

FORMAT = 2  # 1: pictures at the model's size, raw only
NAME = "manifest.json"
AGAIN = "run PrepareData again"
ENCODINGS = ("raw", "jpeg")
SQUARES = ("crop", "pad")
MAX_SIDE = 4096  # pixels; PrepareData stores 8/7 of 1024 at most
SHARD_NAME = re.compile(r"[0-9]{5,9}\.arrow", re.ASCII)
SHA256 = re.compile(r"[0-9a-f]{64}")


def read(path: Path) -> dict[str, Any]:
    """Raises Refusal for whatever PrepareData of this version would not have written: the file may be anybody's."""
    manifest = _content(path)
    if not isinstance(manifest, dict) or "format" not in manifest:
        raise Refusal(f"{path}: 'format' is missing: {AGAIN}")
    if type(manifest["format"]) is not int or manifest["format"] != FORMAT:
        raise Refusal(
            f"{path}: format {_quoted(manifest['format'])}, and this code reads {FORMAT}: {AGAIN} with this code"
        )
    for key, (test, words) in RULES.items():
        if key not in manifest:
            raise Refusal(f"{path}: {key!r} is missing: {AGAIN}")
        if not test(manifest[key]):
            raise Refusal(f"{path}: {key} has to be {words}, and it is {_quoted(manifest[key])}: {AGAIN}")
    if not manifest["shards"]:
        raise Refusal(f"{path}: the split has no pictures: {AGAIN} with a larger fraction for it")
    _refuse_contradictions(path, manifest)
    return manifest


def _content(path: Path) -> Any:
    if not path.is_file():
        raise Refusal(f"{path}: missing, so this is no finished split: {AGAIN}, or check the channel's address")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise Refusal(f"{path}: not JSON ({error}): {AGAIN}") from None


def _refuse_contradictions(path: Path, manifest: dict[str, Any]) -> None:
    if manifest["stored_size"] < manifest["image_size"]:
        raise Refusal(
            f"{path}: stored_size {manifest['stored_size']} is below image_size {manifest['image_size']}: {AGAIN}"
        )
    if len(manifest["class_weights"]) != len(manifest["classes"]):
        raise Refusal(
            f"{path}: {len(manifest['class_weights'])} class_weights for {len(manifest['classes'])} classes: {AGAIN}"
        )
    for shard in manifest["shards"]:
        if not _is_shard(shard):
            raise Refusal(
                f"{path}: a shard needs file (such as 00000.arrow, without a folder), rows, bytes and sha256, and one "
                f"is {_quoted(shard)}: {AGAIN}"
            )
    rows = sum(shard["rows"] for shard in manifest["shards"])
    if rows != manifest["count"]:
        raise Refusal(f"{path}: its shards have {rows} pictures, and its count says {manifest['count']}: {AGAIN}")


def _is_shard(shard: Any) -> bool:
    return (
        isinstance(shard, dict)
        and _is_like(shard.get("file"), SHARD_NAME)
        and _is_like(shard.get("sha256"), SHA256)
        and all(_is_whole(shard.get(key), 1, 2**62) for key in ("rows", "bytes"))
    )


def _is_like(value: Any, pattern: re.Pattern[str]) -> bool:
    return isinstance(value, str) and bool(pattern.fullmatch(value))


def _is_whole(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _are_numbers(value: Any, low: float) -> bool:
    """JSON as Python reads it has NaN, Infinity and whole numbers beyond any float."""
    if not isinstance(value, list):
        return False
    return all(type(each) in (int, float) and low <= each <= 2**62 and math.isfinite(each) for each in value)


def _is_channels(value: Any, low: float) -> bool:
    return _are_numbers(value, low) and len(value) == 3 and max(value) <= 1


def _are_classes(value: Any) -> bool:
    named = isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)
    return named and len(set(value)) == len(value)


def _is_source(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(key), str) for key in ("kind", "digest"))


def _quoted(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= 80 else f"{text[:80]}…"


RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "classes": (_are_classes, "a list of different names"),
    "count": (lambda value: _is_whole(value, 0, 2**62), "a whole number, 0 or more"),
    "image_size": (lambda value: _is_whole(value, 1, MAX_SIDE), f"a whole number from 1 to {MAX_SIDE}"),
    "stored_size": (lambda value: _is_whole(value, 1, MAX_SIDE), f"a whole number from 1 to {MAX_SIDE}"),
    "square": (lambda value: value in SQUARES, f"one of {', '.join(SQUARES)}"),
    "encoding": (lambda value: value in ENCODINGS, f"one of {', '.join(ENCODINGS)}"),
    "mean": (lambda value: _is_channels(value, 0), "three numbers from 0 to 1"),
    "deviation": (lambda value: _is_channels(value, 1e-6), "three numbers above 0 and up to 1"),
    "class_weights": (lambda value: _are_numbers(value, 0), "a list of numbers, 0 or more"),
    "source": (_is_source, "an object with kind and digest"),
    "shards": (lambda value: isinstance(value, list), "a list"),
}
