"""Where pictures come from: a folder or an archive of them, on this machine or in S3."""

from __future__ import annotations

import os

from pipeline.errors import ConfigError

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")  # those that PrepareData unpacks
NO_ARCHIVES = (".7z", ".rar", ".gz", ".bz2", ".xz", ".zst", ".tbz2", ".txz")  # those that people may expect it to


def in_s3(source: str) -> bool:
    return source.startswith("s3://")


def is_archive(source: str) -> bool:
    """Judged by its name; of an address by its key, for a bucket may be called pictures.zip."""
    return _name(source).endswith(ARCHIVES)


def is_foreign_archive(source: str) -> bool:
    """An archive of a kind that PrepareData does not unpack."""
    return _name(source).endswith(NO_ARCHIVES) and not is_archive(source)


def _name(source: str) -> str:
    return (source.removeprefix("s3://").partition("/")[2] if in_s3(source) else source).lower()


def located(source: str, folder: str, subject: tuple[str, str]) -> str:
    """The path of a folder or archive on this machine; a relative one starts at `folder`.

    Raises ConfigError about `subject`: where `source` was written (a file, an option), and its name there.
    """
    path = os.path.normpath(os.path.join(folder, os.path.expanduser(source)))
    if source and (os.path.isdir(path) or (os.path.isfile(path) and is_archive(path))):
        return path
    where, name = subject
    kinds = f"{', '.join(ARCHIVES[:-1])} or {ARCHIVES[-1]}"
    exists = os.path.exists(path)
    problem = f"is neither a folder nor an archive ({kinds})" if exists else f"does not exist; looked for {path}"
    if not source:
        problem = "is empty"
    hint = f"name a folder, an archive ({kinds}), or an s3:// address; a relative path starts at {folder}"
    raise ConfigError(where, [f'{name}: "{source}" {problem}'], hint)
