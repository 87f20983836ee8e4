"""Objects of S3, whoever keeps them: their addresses, and which files of a folder become some."""

from __future__ import annotations

import os
from collections import namedtuple

from pipeline.errors import StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# `path`: where it lies on this machine, empty where it does not; `modified`: seconds since 1970
Object = namedtuple("Object", "uri path size modified")


def split(uri: str, allow_empty_key: bool = False) -> tuple[str, str]:
    """'s3://bucket/a/b' → ('bucket', 'a/b'). Raises StorageError."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket or not (key or allow_empty_key):
        raise StorageError(f"{uri!r} is not an address of the form s3://bucket/key")
    if "\0" in uri:
        raise StorageError(f"{uri!r} holds a NUL character")
    return bucket, key


def from_folder(folder: str, prefix: str) -> Iterator[tuple[str, str]]:
    """(address, file) of every file below, which becomes `prefix/relative/path`; links only if they stay inside."""
    base = prefix.rstrip("/")
    inside = os.path.realpath(folder) + os.sep
    for where, _, names in os.walk(folder):
        for name in sorted(names):
            source = os.path.join(where, name)
            if os.path.isfile(source) and os.path.realpath(source).startswith(inside):
                yield f"{base}/{os.path.relpath(source, folder).replace(os.sep, '/')}", source


def too_large(uri: str, most: int) -> StorageError:
    return StorageError(f"{uri} has more than {most:,} bytes")
