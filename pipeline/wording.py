"""What texts for people have in common: they are cut where they have to fit, and count in singular and plural."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def cut(text: str, longest: int) -> str:
    """Its beginning, in at most so many characters, with an ellipsis where something is left out; 1 at least."""
    return text if len(text) <= longest else f"{text[: max(0, longest - 1)]}…"


def count(number: int, word: str) -> str:
    """1 step, 2 steps."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def listed(names: Sequence[str], most: int) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"
