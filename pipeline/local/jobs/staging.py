"""S3 objects into a job's folders and back, as SageMaker's agents place them."""

from __future__ import annotations

import os
import signal
import time
from collections import namedtuple

from pipeline.errors import ServiceError, StorageError
from pipeline.local.folders import make_folder
from pipeline.local.jobs import JobFailed
from pipeline.local.storage import copy_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pipeline.local.jobs import JobContext
    from pipeline.local.storage import Storage

Entry = namedtuple("Entry", "uri path size relative")
Stamp = namedtuple("Stamp", "modified_ns size inode")
# below this, copying in the loop's own thread is quicker than a fork, and nobody notices
_INLINE_BYTES = 8 << 20
_INLINE_FILES = 200
# File times move in ticks of up to 10 ms: what changed within the same tick as the last look may carry the same time.
_TICK_NS = 50_000_000


def entries(storage: Storage, uri: str, what: str) -> list[Entry]:
    """The objects of an S3Prefix and where each lands below the input's folder. Raises JobFailed when there is none."""
    found = [
        Entry(item.uri, item.path, item.size, relative)
        for item in storage.list(uri)
        if (relative := _relative(uri, item.uri)) and not relative.endswith("/")
    ]
    if not found:
        raise JobFailed(
            f"ClientError: Data download failed: {what}: no S3 objects found under S3 URL {uri!r}. "
            "Please ensure that the bucket exists and that objects exist under the S3 prefix. "
            f"On this machine that is {storage.path(uri.rstrip('/') + '/x').rpartition('/')[0]}"
        )
    return found


def _relative(prefix: str, uri: str) -> str:
    """`…/train` takes `…/train/a` as `a`, `…/train.csv` as `train.csv`, and is taken itself as `train`."""
    if uri.startswith(prefix.rstrip("/") + "/"):
        return uri[len(prefix.rstrip("/")) + 1 :]
    return uri[len(prefix.rpartition("/")[0]) + 1 :]


def share(items: list[Entry], distribution: str, index: int, count: int, what: str) -> list[Entry]:
    """What host number `index` of `count` gets: everything, or with ShardedByS3Key every count-th object."""
    if distribution in ("", "FullyReplicated"):
        return items
    if distribution != "ShardedByS3Key":
        raise JobFailed(
            f"ClientError: {what}: S3DataDistributionType {distribution!r} is not FullyReplicated or ShardedByS3Key"
        )
    return items[index::count]


async def fetch(context: JobContext, items: list[Entry], folder: str) -> None:
    """Copies the objects; the job may change its copies. A large input is copied by a child, beside the loop."""

    def copy() -> None:
        for item in items:
            target = os.path.join(folder, *(_file_name(part) for part in item.relative.split("/")))
            try:
                make_folder(os.path.dirname(target))
                copy_file(item.path, target)
            except OSError as exc:
                raise StorageError(
                    f"cannot copy {item.uri} to {target}: {exc.strerror}",
                    "free some space; DARKROOM_HOME moves the folder",
                ) from exc

    make_folder(folder)
    large = len(items) > _INLINE_FILES or sum(item.size for item in items) > _INLINE_BYTES
    if large:
        await aside(context, copy)
    else:
        copy()


def _file_name(part: str) -> str:
    """A part of a key that means something else to a file system is escaped, so that no key can climb out."""
    return part.replace(".", "%2E") if part in (".", "..") else part or "%"


async def aside(context: JobContext, work: Callable[[], None]) -> None:
    """Does file work in a forked child. Raises StorageError with the child's own words."""
    problem = await in_child(context, work)
    if problem:
        raise StorageError(problem)


async def in_child(context: JobContext, work: Callable[[], None]) -> str:
    """Does what takes long in a forked child, beside the loop; returns the words of its error, or ''."""
    process = context.isolation.call(work)
    try:
        code = await context.loop.exit_of(process.pid)
    except BaseException:
        process.signal(signal.SIGKILL)
        os.waitpid(process.pid, 0)
        process.finish()
        raise
    problem = process.finish()
    return problem or (f"the process that did it ended with exit code {code}" if code else "")


class Sync:
    """A folder whose new and changed files go to S3 again and again, as Continuous outputs and checkpoints do.

    With `mirror` a file that is gone from the folder is deleted in S3, if it had come from there or gone there.
    """

    __slots__ = ("_folder", "_mirror", "_pushed_ns", "_seen", "_storage", "_uri")

    def __init__(self, storage: Storage, folder: str, uri: str, mirror: bool = False) -> None:
        self._storage = storage
        self._folder = folder
        self._uri = uri.rstrip("/")
        self._mirror = mirror
        self._seen: dict[str, Stamp] = {}
        self._pushed_ns = 0  # when the last push began

    def skip_present(self) -> None:
        """What lies there now came from S3 and need not go back."""
        self._seen = dict(self._stamps())
        self._pushed_ns = time.time_ns() + _TICK_NS

    def push(self) -> int:
        """Uploads what changed since the last time; returns the count. A file that is gone again is no error."""
        if not os.path.isdir(self._folder):
            return 0
        since, self._pushed_ns = self._pushed_ns - _TICK_NS, time.time_ns()
        stamps = dict(self._stamps())
        if self._mirror:
            for relative in sorted(self._seen.keys() - stamps.keys()):
                self._storage.delete(f"{self._uri}/{relative}")
                del self._seen[relative]
        count = 0
        for relative, stamp in stamps.items():
            if self._seen.get(relative) != stamp or stamp.modified_ns >= since:
                try:
                    self._storage.put_file(f"{self._uri}/{relative}", os.path.join(self._folder, relative))
                except FileNotFoundError:
                    continue
                self._seen[relative] = stamp
                count += 1
        return count

    def _stamps(self) -> list[tuple[str, Stamp]]:
        found = []
        for where, _, files in os.walk(self._folder):
            for name in sorted(files):
                path = os.path.join(where, name)
                try:
                    stat = os.lstat(path)
                except FileNotFoundError:
                    continue
                if os.path.isfile(path) and not os.path.islink(path):
                    relative = os.path.relpath(path, self._folder).replace(os.sep, "/")
                    found.append((relative, Stamp(stat.st_mtime_ns, stat.st_size, stat.st_ino)))
        return found


def object_bytes(storage: Storage, uri: str, what: str) -> bytes:
    """Raises JobFailed as the service says it."""
    try:
        return storage.get_bytes(uri)
    except ServiceError as exc:
        raise JobFailed(f"ClientError: {what}: no S3 object {uri!r}") from exc


def refuse_unless(value: Any, allowed: tuple[Any, ...], what: str) -> None:
    """Raises JobFailed for what this machine does not do."""
    if value not in allowed:
        wanted = " or ".join(repr(item) for item in allowed if item is not None)
        raise JobFailed(f"ClientError: {what} is {value!r}; on this machine it can be {wanted}")
