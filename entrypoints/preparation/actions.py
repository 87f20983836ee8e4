"""What is done about each finding of the doctor: the words `--doctor name=value`, checked."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from typing import NamedTuple

from refusal import Refusal

ACTIONS = {  # the default first
    "unreadable": ("drop", "fail"),
    "not_pictures": ("warn", "fail"),
    "duplicates": ("warn", "drop", "fail"),
    "leaks": ("move", "drop", "warn", "fail"),
    "conflicting_labels": ("warn", "drop", "fail"),
    "small_classes": ("fail", "warn"),
    "imbalance": ("warn", "fail"),
    "odd_sizes": ("warn", "drop", "fail"),
}


class Settings(NamedTuple):
    """An action for each finding, and the three numbers that findings depend on."""

    unreadable: str = "drop"
    not_pictures: str = "warn"
    duplicates: str = "warn"
    leaks: str = "move"
    conflicting_labels: str = "warn"
    small_classes: str = "fail"
    minimum_per_class: int = 2
    imbalance: str = "warn"
    max_imbalance: float = 10.0
    odd_sizes: str = "warn"
    max_aspect: float = 3.0

    @classmethod
    def parse(cls, words: Iterable[str]) -> Settings:
        """Words such as leaks=drop or minimum_per_class=5, in any order; what is not said keeps its default."""
        found: dict[str, str | int | float] = {}
        for word in words:
            name, sign, value = word.partition("=")
            if not sign:
                raise Refusal(f"--doctor {word}: no '=' in it: write name=value, such as leaks=drop")
            if name not in cls._fields:
                raise Refusal(f"--doctor {word}: no finding is called {name!r}: {_nearest(name, cls._fields)}")
            if name in found:
                raise Refusal(f"--doctor {word}: {name} was given before: say it once")
            found[name] = _value(name, value)
        return cls(**found)  # type: ignore[arg-type]


def _value(name: str, text: str) -> str | int | float:
    if name in ACTIONS:
        return _action(name, text)
    whole = name == "minimum_per_class"
    try:
        number = int(text) if whole else float(text)
    except ValueError:
        number = math.nan
    if not 1 <= number < math.inf:
        raise Refusal(f"doctor.{name} {text!r}: take a {'whole ' if whole else ''}number from 1 on")
    return number


def _action(name: str, text: str) -> str:
    if text not in ACTIONS[name]:
        raise Refusal(f"doctor.{name} {text!r}: take {one_of(ACTIONS[name])}")
    return text


def one_of(words: tuple[str, ...]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _nearest(name: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
