"""`s3://bucket/key` ↔ `<home>/s3/bucket/key`: objects are plain files that a person can open.

A write goes to a temporary name and is renamed, so that nobody ever reads half an object. Keys that a file system
cannot hold as they are (empty parts, `.`, `..`) are percent-encoded.
"""

from __future__ import annotations

import contextlib
import errno
import os

from pipeline.errors import ServiceError, StorageError
from pipeline.objects import Object, from_folder, split, too_large

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_SMALL = 1 << 20
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)  # no object can be there
_INCOMING = ".incoming-"  # no object key can begin a part like this: the leading dot of such a part is encoded


class Storage:
    """The buckets of this machine. Addresses are whole `s3://bucket/key` strings everywhere."""

    __slots__ = ("root",)

    def __init__(self, home: str) -> None:
        self.root = os.path.join(home, "s3")

    def path(self, uri: str) -> str:
        """Where the object lies, whether or not it exists. Raises StorageError if this is no address."""
        bucket, key = split(uri)
        parts = [_encode(part) for part in key.split("/")]
        return os.path.join(self.root, _encode(bucket), *parts)

    def put_bytes(self, uri: str, data: bytes) -> None:
        with self._incoming(uri) as temporary, open(temporary, "wb") as file:
            file.write(data)

    def put_file(self, uri: str, source: str, move: bool = False) -> None:
        """Copies a file in; with `move` renames it where the file system allows (the source is then gone)."""
        with self._incoming(uri) as temporary:
            if move:
                import shutil

                shutil.move(source, temporary)
            else:
                copy_file(source, temporary)

    def get_bytes(self, uri: str, most: int = 0) -> bytes:
        """Raises ServiceError NoSuchKey; StorageError for more than `most` bytes, where that is given."""
        with _reading(uri), open(self.path(uri), "rb") as file:
            body = file.read(most + 1 if most else -1)
        if most and len(body) > most:
            raise too_large(uri, most)
        return body

    def size(self, uri: str) -> int:
        """In bytes. Raises ServiceError NoSuchKey."""
        if not self.exists(uri):
            raise ServiceError("NoSuchKey", f"there is no object {uri}")
        return os.path.getsize(self.path(uri))

    def tag(self, uri: str) -> str:
        """The same as long as the object is: each write makes a new file. Raises ServiceError NoSuchKey."""
        with _reading(uri):
            stat = os.stat(self.path(uri))
        return f"{stat.st_mtime_ns} {stat.st_size}"

    def blocks(self, uri: str) -> Iterator[bytes]:
        """Its content, a megabyte at a time. Raises ServiceError NoSuchKey."""
        with _reading(uri), open(self.path(uri), "rb") as file:
            while block := file.read(_SMALL):
                yield block

    def exists(self, uri: str) -> bool:
        return os.path.isfile(self.path(uri))

    def delete(self, uri: str) -> None:
        """As S3: deleting what does not exist is no error. Folders left empty go too."""
        path = self.path(uri)
        try:
            os.remove(path)
        except OSError as exc:
            if exc.errno not in _ABSENT:
                raise
        with contextlib.suppress(OSError):  # the first folder that is not empty ends it
            while (path := os.path.dirname(path)) != self.root:
                os.rmdir(path)

    def list(self, prefix: str) -> Iterator[Object]:
        """Every object whose address begins with this string, sorted: `…/train` also yields `…/train-stats/x`."""
        bucket, key = split(prefix, allow_empty_key=True)
        bucket_path = os.path.join(self.root, _encode(bucket))
        folder = key.rpartition("/")[0]
        top = os.path.join(bucket_path, *(_encode(part) for part in folder.split("/"))) if folder else bucket_path
        found = []
        for where, _, names in os.walk(top):
            relative = os.path.relpath(where, bucket_path)
            parts = [] if relative == "." else [_decode(part) for part in relative.split(os.sep)]
            for name in names:
                if not name.startswith(_INCOMING):
                    object_key = "/".join([*parts, _decode(name)])
                    if object_key.startswith(key):
                        found.append((f"s3://{bucket}/{object_key}", os.path.join(where, name)))
        for uri, path in sorted(found):
            with contextlib.suppress(FileNotFoundError):
                stat = os.stat(path)
                yield Object(uri, path, stat.st_size, stat.st_mtime)

    def download(self, prefix: str, folder: str) -> int:
        """As a job's S3Prefix input: each object lands at its key after the prefix's last '/'. Returns the count."""
        cut = len(prefix.rpartition("/")[0]) + 1
        count = 0
        for entry in self.list(prefix):
            target = os.path.join(folder, *(_encode(part) for part in entry.uri[cut:].split("/")))
            with _storage_errors(target):
                os.makedirs(os.path.dirname(target), exist_ok=True)
                copy_file(entry.path, target)
            count += 1
        return count

    def upload(self, folder: str, prefix: str, move: bool = False) -> int:
        """Every file below becomes `prefix/relative/path`; links only if they stay inside. Returns the count."""
        count = 0
        for uri, source in from_folder(folder, prefix):
            self.put_file(uri, source, move=move and not os.path.islink(source))
            count += 1
        return count

    @contextlib.contextmanager
    def _incoming(self, uri: str) -> Iterator[str]:
        """A temporary path beside the object's own, renamed over it when the block ends without error."""
        path = self.path(uri)
        folder = os.path.dirname(path)
        temporary = os.path.join(folder, f"{_INCOMING}{os.urandom(6).hex()}")
        with _storage_errors(path):
            os.makedirs(folder, exist_ok=True)
            try:
                yield temporary
                os.replace(temporary, path)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.remove(temporary)
                raise


@contextlib.contextmanager
def _reading(uri: str) -> Iterator[None]:
    """Raises ServiceError NoSuchKey for what this file system says of an object that is not there."""
    try:
        yield
    except OSError as exc:
        if exc.errno not in _ABSENT:
            raise
        raise ServiceError("NoSuchKey", f"there is no object {uri}") from exc


def copy_file(source: str, target: str) -> None:
    """A small file is read and written: shutil, with all the compression that it imports, takes 3 ms to load."""
    if os.path.getsize(source) > _SMALL:
        import shutil

        shutil.copyfile(source, target)
        return
    with open(source, "rb") as reader, open(target, "wb") as writer:
        writer.write(reader.read())


def _encode(part: str) -> str:
    """A key's part as a file name; a leading dot, '%' and an empty part are escaped, so `..` can never climb."""
    escaped = part.replace("%", "%25")
    if escaped.startswith("."):
        return "%2E" + escaped[1:]
    return escaped or "%"


def _decode(name: str) -> str:
    if name == "%":
        return ""
    return name.replace("%2E", ".", 1).replace("%25", "%") if name.startswith("%2E") else name.replace("%25", "%")


@contextlib.contextmanager
def _storage_errors(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(
                f"the disk is full: cannot write {path}", "free some space; DARKROOM_HOME moves the folder"
            ) from exc
        if exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StorageError(
                f"cannot write {path}: {exc.strerror}", "make it writable; DARKROOM_HOME moves the folder"
            ) from exc
        if exc.errno in (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG):
            raise StorageError(
                f"cannot keep an object at {path}: {exc.strerror}",
                "this machine cannot hold both an object 'a' and objects below 'a/', nor a part longer than 255 bytes",
            ) from exc
        raise
