"""What smdebug makes of HookParameters and CollectionParameters: texts, each with a meaning of its own."""

from __future__ import annotations

import re
from collections.abc import Callable

from pipeline.validate.node import Node, nearest, quote
from pipeline.validate.values import literal_text

Fault = Callable[[str], tuple[str, str] | None]  # text → (what is wrong, mend)
MODES = ("train.", "eval.", "predict.", "global.")  # of when to save, each may have its own
DIGITS = re.compile(r"[0-9]{1,18}")


def check_parameters(parameters: Node) -> None:
    """Of a hook or of one collection: the hook's are the defaults of its collections."""
    for key, member in parameters.members():
        plain = next((key.removeprefix(mode) for mode in MODES if key.startswith(mode)), key)
        if plain not in KEYS or (plain != key and plain not in BY_MODE):
            member.warning(f"smdebug reads no parameter {quote(key)}", nearest(key, KEYS, "remove it"))
            continue
        text = literal_text(member.value) if isinstance(member.value, (str, dict)) else None
        if text is not None and (fault := KEYS[plain](text)):
            member.error(*fault)


def _above_zero(text: str) -> tuple[str, str] | None:
    if not DIGITS.fullmatch(text.strip()) or int(text) < 1:
        return f"{quote(text)} is not a number of steps", 'write a whole number from 1, in quotes, as "100"'
    return None


def _from_zero(text: str) -> tuple[str, str] | None:
    if not DIGITS.fullmatch(text.strip()):
        return f"{quote(text)} is not the number of a step", 'write a whole number from 0, in quotes, as "0"'
    return None


def _listed(text: str) -> tuple[str, str] | None:
    if any(_from_zero(part) for part in text.split(",")):
        return f"{quote(text)} is no list of steps", 'write whole numbers with commas, as "0,1,2"'
    return None


def _patterns(text: str) -> tuple[str, str] | None:
    for part in text.split(","):
        try:
            re.compile(part.strip())
        except (re.error, RecursionError, OverflowError) as exc:
            return f"{quote(part)} is no regular expression: {exc}", "mend it; a comma begins the next one"
    return None


def _yes(text: str) -> tuple[str, str] | None:
    if text not in ("true", "True", "false", "False"):
        return f"{quote(text)} is neither true nor false", 'write "true" or "false"'
    return None


def _workers(text: str) -> tuple[str, str] | None:
    if text not in ("one", "all"):
        return f"{quote(text)} is no choice of workers", 'write "one" or "all"'
    return None


def _reductions(text: str) -> tuple[str, str] | None:
    for part in text.split(","):
        if part.strip().removeprefix("abs_") not in REDUCED:
            return f"smdebug has no reduction {quote(part)}", nearest(part.strip(), REDUCED, "remove it")
    return None


def _anything(_text: str) -> None:
    return None


# smdebug.core.reductions; abs_ before each takes absolute values first
REDUCED = ("min", "max", "mean", "std", "variance", "sum", "prod", "l1_norm", "l2_norm")
BY_MODE: dict[str, Fault] = {
    "save_interval": _above_zero,
    "save_steps": _listed,
    "start_step": _from_zero,
    "end_step": _from_zero,
}
KEYS: dict[str, Fault] = {
    **BY_MODE,
    "include_regex": _patterns,
    "reductions": _reductions,
    **dict.fromkeys(("save_raw_tensor", "save_histogram", "save_all", "save_shape", "export_tensorboard"), _yes),
    "include_workers": _workers,
    "tensorboard_dir": _anything,
}
