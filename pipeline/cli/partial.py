"""What was done and what was not, where a command of several calls ends between two of them."""

from __future__ import annotations

from contextlib import contextmanager

from pipeline.errors import DarkroomError, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def so_far(said: str, uncertain: str = "", hint: str = "", of: type[DarkroomError] = DarkroomError) -> Iterator[None]:
    """An error within the block also says `said`; `uncertain` instead where the call may have been done after all.

    `hint` takes the place of the error's own where the service could not be asked: what to type then. `of`: the errors
    that can come after something was done; others are told as they are.
    """
    try:
        yield
    except of as exc:
        unavailable = isinstance(exc, Unavailable)
        words = uncertain if uncertain and isinstance(exc, Unavailable) and exc.uncertain else said
        exc.message = f"{exc.message}\n  {words}"
        if unavailable and hint:
            exc.hint = hint
        raise
