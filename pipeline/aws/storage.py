"""Objects of S3, by the methods that the storage of this machine has; addresses are whole `s3://bucket/key` strings."""

from __future__ import annotations

import os

from pipeline.errors import ServiceError, StorageError
from pipeline.objects import Object, from_folder, split, too_large
from pipeline.whole_file import whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.aws.calls import Calls

READS = 3  # attempts to read a body: boto3 repeats calls, but not what breaks off after their answer began
_BLOCK = 1 << 20


class Storage:
    """The buckets that these credentials can reach."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def put_bytes(self, uri: str, data: bytes) -> None:
        bucket, key = split(uri)
        self._calls.ask("put_object", _arn(bucket, key), Bucket=bucket, Key=key, Body=data)

    def put_file(self, uri: str, source: str, move: bool = False) -> None:
        """In parts where it is large; with `move` the source is removed once all of it is there."""
        bucket, key = split(uri)
        with open(source, "rb") as file, self._calls.translating("PutObject", _arn(bucket, key)):
            self._calls.client().upload_fileobj(file, bucket, key)
        if move:
            os.remove(source)

    def get_bytes(self, uri: str, most: int = 0) -> bytes:
        """Raises ServiceError NoSuchKey; StorageError for more than `most` bytes, where that is given."""
        blocks, read = [], 0
        for block in self.blocks(uri):
            blocks.append(block)
            read += len(block)
            if most and read > most:
                raise too_large(uri, most)
        return b"".join(blocks)

    def size(self, uri: str) -> int:
        """In bytes. Raises ServiceError NoSuchKey."""
        bucket, key = split(uri)
        return int(self._calls.ask("head_object", _arn(bucket, key), Bucket=bucket, Key=key)["ContentLength"])

    def tag(self, uri: str) -> str:
        """The same as long as the object is. Raises ServiceError NoSuchKey."""
        bucket, key = split(uri)
        head = self._calls.ask("head_object", _arn(bucket, key), Bucket=bucket, Key=key)
        return f"{head['ETag']} {head['ContentLength']}"

    def exists(self, uri: str) -> bool:
        bucket, key = split(uri)
        try:
            self._calls.ask("head_object", _arn(bucket, key), Bucket=bucket, Key=key)
        except ServiceError as exc:
            if exc.code != "NoSuchKey":
                raise
            return False
        return True

    def delete(self, uri: str) -> None:
        """Deleting what does not exist is no error."""
        bucket, key = split(uri)
        self._calls.ask("delete_object", _arn(bucket, key), Bucket=bucket, Key=key)

    def list(self, prefix: str) -> Iterator[Object]:
        """Every object whose address begins with this string, sorted: `…/train` also yields `…/train-stats/x`."""
        bucket, key = split(prefix, allow_empty_key=True)
        request = {"Bucket": bucket, "Prefix": key}
        while True:
            page = self._calls.ask("list_objects_v2", f"arn:aws:s3:::{bucket}", **request)
            for row in page.get("Contents", ()):
                modified = row["LastModified"].timestamp()
                yield Object(f"s3://{bucket}/{row['Key']}", "", row["Size"], modified)
            if not page.get("NextContinuationToken"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]

    def download(self, prefix: str, folder: str) -> int:
        """Each object lands at its key after the prefix's last '/', whole or not at all. Returns the count."""
        cut = len(prefix.rpartition("/")[0]) + 1
        count = 0
        for entry in self.list(prefix):
            if not entry.uri.endswith("/"):  # consoles mark folders by empty objects
                self._download(entry.uri, _below(folder, entry.uri[cut:]))
                count += 1
        return count

    def upload(self, folder: str, prefix: str, move: bool = False) -> int:
        """Every file below becomes `prefix/relative/path`; links only if they stay inside. Returns the count."""
        count = 0
        for uri, source in from_folder(folder, prefix):
            self.put_file(uri, source, move=move and not os.path.islink(source))
            count += 1
        return count

    def _download(self, uri: str, target: str) -> None:
        try:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with whole(target) as aside, open(aside, "wb") as file:
                for block in self.blocks(uri):
                    file.write(block)
        except OSError as exc:
            raise StorageError(
                f"cannot write {target}: {exc.strerror}", "free some space, or choose another folder"
            ) from exc

    def blocks(self, uri: str) -> Iterator[bytes]:
        """Its content, a megabyte at a time. Raises ServiceError NoSuchKey.

        A body that breaks off is gone on with from where it did, as long as it is the same object.
        """
        bucket, key = split(uri)
        read, tag, failed = 0, "", 0
        while True:
            same = {"Range": f"bytes={read}-", "IfMatch": tag} if read else {}
            answer = self._calls.ask("get_object", _arn(bucket, key), Bucket=bucket, Key=key, **same)
            body, tag = answer["Body"], answer["ETag"]
            try:
                with self._calls.translating("GetObject", _arn(bucket, key)):
                    while block := body.read(_BLOCK):
                        read += len(block)
                        yield block
                return
            except ServiceError as exc:
                failed += 1
                if failed == READS:
                    raise ServiceError(
                        exc.code, f"{uri} broke off {failed} times: {exc.message}", "GetObject", exc.hint
                    ) from exc


def _arn(bucket: str, key: str) -> str:
    return f"arn:aws:s3:::{bucket}/{key}"


def _below(folder: str, relative: str) -> str:
    """Raises StorageError for a key that would lead out of the folder."""
    target = os.path.normpath(os.path.join(folder, *relative.split("/")))
    if not target.startswith(os.path.normpath(folder) + os.sep):
        raise StorageError(f"the key …/{relative} leads out of {folder}")
    return target
