"""What could not be found out, and why: whoever decides has to know what he does not know."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pipeline.errors import DarkroomError, ServiceError

Found = TypeVar("Found")


class Gaps:
    """`reasons`: part → why it is not known; `hints`: what would mend that, each once."""

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}
        self.hints: list[str] = []

    def note(self, part: str, reason: str) -> None:
        """The first reason stays."""
        self.reasons.setdefault(part, reason)

    def ask(self, part: str, question: Callable[[], Found], otherwise: Found) -> Found:
        """Its answer; `otherwise`, and the reason, where this part alone cannot be told.

        Raises ServiceError for what is wrong with every call, such as credentials that have expired.
        """
        try:
            return question()
        except DarkroomError as exc:
            if isinstance(exc, ServiceError) and not exc.is_of_one_part:
                raise
            self.note(part, exc.message)
            if exc.hint.startswith("add to the ") and exc.hint not in self.hints:
                self.hints.append(exc.hint)
            return otherwise
