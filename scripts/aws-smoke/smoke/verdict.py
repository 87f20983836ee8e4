"""What a check is, and how it ends: CONFIRMED, REFUTED or CANNOT TELL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smoke.account import Account

CONFIRMED, REFUTED, CANNOT_TELL = "CONFIRMED", "REFUTED", "CANNOT TELL"
EXIT_CODES = {CONFIRMED: 0, REFUTED: 1, CANNOT_TELL: 3}  # 2 is usage


@dataclass(frozen=True)
class Verdict:
    """`saw`: what was seen, as the service has it; `next`: what would tell, where nothing could be told."""

    word: str
    saw: str
    next: str = ""


class CannotTell(Exception):
    """Ends a check that lacks what it looks at: CannotTell(what was seen, what would tell)."""

    def __init__(self, saw: str, hint: str) -> None:
        super().__init__(saw)
        self.saw, self.hint = saw, hint


@dataclass(frozen=True)
class Check:
    """`name` stands in docs/unproven.md, whose row has the assumption and what to change.

    `stage`: a key of stages.STAGES. `makes`: what it makes, and takes away again; empty where it only looks.
    """

    name: str
    stage: str
    run: Callable[[Account], Verdict]
    expects: str
    makes: str = ""


def judged(right: bool, saw: str) -> Verdict:
    return Verdict(CONFIRMED if right else REFUTED, saw)
