"""Which reports of jobs the page can show: those shaped as darkroom's own programs write them.

A definition that somebody else compiled may have a training.json too, and means something else by it: it is left out.
"""

from __future__ import annotations

import sys
from typing import Any

NUMBER = (int, float)
COUNT = range(10**12)
SIDE = range(1, 10**6)
PICTURE = {"png?": str, "jpeg?": str, "gradcam?": str}  # base64; gradcam is of the kind of the picture
ERROR = {"name": str, "actual": str, "predicted": str, "probability": NUMBER, **PICTURE}
BIN = {"count": COUNT, "confidence": NUMBER, "accuracy": NUMBER}
PAIRED = {"count": COUNT, "difference": NUMBER, "interval": [NUMBER, NUMBER]}
CHAMPION = {
    **PAIRED,
    "package?": str,
    "same_data?": bool,
    "verdict": str,
    "accuracy": NUMBER,
    "champion_accuracy": NUMBER,
    "right_here_only": COUNT,
    "right_there_only": COUNT,
    "left_out": COUNT,
    "classes_new": [str],
    "classes_gone": [str],
    "regressions": [str],
    "per_class": [{**PAIRED, "class": str, "recall": NUMBER, "champion_recall": NUMBER}],
}
EVALUATION = {
    "accuracy_interval?": [NUMBER, NUMBER],
    "worst?": [ERROR],
    "errors?": {"pictures": [ERROR], "left_out?": COUNT},
    "top_5_accuracy?": NUMBER,
    "macro?": {"precision?": NUMBER, "recall?": NUMBER, "f1?": NUMBER},
    "pictures_per_second?": NUMBER,
    "calibration?": {"temperature": NUMBER, "in_the_model?": bool, "error_before": NUMBER, "error_after": NUMBER},
    "reliability?": {"before?": [BIN], "after?": [BIN]},
    "gradcam?": {"layer": str, "size": [SIDE, SIDE]},
    "champion?": ({"reason": str, "package?": str}, CHAMPION),
}
EPOCH = {"epoch": NUMBER, "train_loss?": NUMBER, "validation_loss?": NUMBER, "validation_accuracy?": NUMBER}
FINDING = {
    "finding": str,
    "action?": str,
    "count?": COUNT,
    "files?": [str],
    "groups?": [[str]],
    "classes?": ([str], {"*": COUNT}, [[str]]),  # names; counts by name; of each file in `groups`
    "split?": str,
    "splits?": [[str]],  # of each file in `groups`
    "reasons?": [str],  # of each of `files`, as are `sizes`
    "sizes?": [str],
    "left_out?": COUNT,
    "moved?": COUNT,
    "dropped?": COUNT,
    "copies?": COUNT,
    "ratio?": NUMBER,
}
PAIR = {"file": str, "names": [str, str], "classes": [str, str], "places": [str, str]}
PICTURES = {"classes?": [str], "sizes?": str, "size?": [SIDE, SIDE], "contact?": [str], "duplicates?": [PAIR]}
DATASET = {
    "kind?": str,
    "source?": {"kind?": str, "digest?": str},
    "classes?": [str],
    "counts?": {"*": {"*": COUNT}},
    "image_size?": SIDE,
    "stored_size?": SIDE,
    "square?": str,
    "encoding?": str,
    "class_weights?": [NUMBER],
    "findings?": [FINDING],
    "pictures?": PICTURES,
}
# section → the members that the page reads; `?` marks those that may be missing, `*` stands for any key
SHAPES: dict[str, Any] = {
    "training": {"epochs?": [EPOCH], "hyperparameters?": {}, "versions?": {"*": str}},
    "dataset": DATASET,
    "evaluation": EVALUATION,
}
CONFUSION = {"*": {"*": COUNT}}


def is_ours(section: str, content: dict[str, Any]) -> bool:
    """Sections that the page does not read are nobody's business."""
    return fits(content, SHAPES.get(section, {}))


def fits(value: Any, shape: Any) -> bool:
    """`[A]` is a list of any number of A, `[A, B]` one of just these two, `(A, B)` is A or B; a range is of
    whole numbers; what is none of these is a type.

    Python reads whole numbers of thousands of digits, which no float can hold: they fit nothing.
    """
    match shape:
        case dict():
            return isinstance(value, dict) and _fits_members(value, shape)
        case list():
            shapes = shape * len(value) if isinstance(value, list) and len(shape) == 1 else shape
            return isinstance(value, list) and len(value) == len(shapes) and all(map(fits, value, shapes))
        case tuple():
            return any(fits(value, each) for each in shape)
        case range():
            return type(value) is int and value in shape
        case _ if shape is bool:
            return isinstance(value, bool)
        case _:
            return isinstance(value, shape) and not isinstance(value, bool) and not _is_huge(value)


def _is_huge(value: Any) -> bool:
    return isinstance(value, int) and abs(value) > sys.float_info.max


def _fits_members(value: dict[str, Any], shape: dict[str, Any]) -> bool:
    if "*" in shape:
        return all(fits(member, shape["*"]) for member in value.values())
    for key, inner in shape.items():
        name = key.removesuffix("?")
        if name not in value:
            if name == key:
                return False
        elif not fits(value[name], inner):
            return False
    return True
