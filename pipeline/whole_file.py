"""Files that are whole or absent, also where several write one, or are killed, or the disk is full."""

from __future__ import annotations

import os
from _thread import get_ident  # threading takes longer to load than some commands run
from contextlib import contextmanager, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def whole(path: str) -> Iterator[str]:
    """What to write in place of `path`: it takes that name if the block ends without an error, and is gone otherwise.

    Raises what the file system says, also where there is no such folder.
    """
    aside = f"{path}.{os.getpid()}-{get_ident()}.part"
    try:
        yield aside
        os.replace(aside, path)
    finally:
        with suppress(OSError):  # it has its name by now, or never was there; and what went wrong first is said
            os.remove(aside)
