"""Private folders of jobs; a folder that a job has left is emptied and used again by the next job of the execution.

Making and deleting a dozen folders costs more than all else that the runner does for a job that does nothing: 2.5 of
5 ms on ext4, and more when many were deleted within the last seconds, since their inodes are passed over for a while.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pipeline.local.loop import Loop

# what every processing job has; relative to its private folder
PROCESSING = frozenset(
    ("algo-1", "algo-1/tmp")
    + ("algo-1/ml", "algo-1/ml/config", "algo-1/ml/output", "algo-1/ml/processing", "algo-1/ml/processing/input")
)
_MOST = 4  # folders kept for later jobs


class Folders:
    """Of one execution: all of them lie in one folder, which the runner removes in the end."""

    __slots__ = ("_dirty", "_empty", "_kept", "_loop")

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        # folder → what may stay of it when it is emptied: of those in use, those left by a job, those emptied since
        self._kept: dict[str, frozenset[str]] = {}
        self._dirty: dict[str, frozenset[str]] = {}
        self._empty: dict[str, frozenset[str]] = {}

    def take(self, path: str, keep: frozenset[str]) -> None:
        """Makes `path`: empty but for folders of `keep`, which are empty."""
        self._kept[path] = keep
        old = next((folder for folder, kept in self._empty.items() if kept is keep), None)
        if old is not None:
            del self._empty[old]
            try:
                os.rename(old, path)
                return
            except OSError:
                pass  # it stays where it is, and goes with the rest
        os.makedirs(path, exist_ok=True)

    def give_back(self, path: str) -> None:
        """Nobody needs what is in it: it is emptied once nothing has happened for a moment: while the next job runs."""
        keep = self._kept.pop(path, None)
        if keep is None or len(self._dirty) + len(self._empty) >= _MOST:
            self._loop.later(lambda: _delete(path))
        else:
            self._dirty[path] = keep
            self._loop.later(lambda: self._clear(path))

    def _clear(self, path: str) -> None:
        keep = self._dirty.pop(path)
        try:
            _empty(path, keep)
        except OSError:
            return  # whatever the job did to it
        self._empty[path] = keep


def make_folder(path: str) -> None:
    """As os.makedirs does where it may be there already, but asks the file system only once in most cases."""
    try:
        os.mkdir(path)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
    except FileNotFoundError:
        os.makedirs(path, exist_ok=True)


def _empty(folder: str, keep: frozenset[str], inside: str = "") -> None:
    """Deletes all but the folders of `keep`. A link, or a folder whose owner may not use it, is never kept."""
    with os.scandir(folder) as entries:
        for entry in entries:
            relative = inside + entry.name
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.path)
            elif relative in keep and entry.stat(follow_symlinks=False).st_mode & 0o700 == 0o700:
                _empty(entry.path, keep, f"{relative}/")
            else:
                _empty(entry.path, frozenset())
                os.rmdir(entry.path)


def _delete(folder: str) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
