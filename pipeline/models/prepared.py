"""What a model learned from and was judged on: a prepared split, as its manifest in S3 describes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.client import Clients
from pipeline.digest import sha256_hex
from pipeline.errors import ServiceError
from pipeline.models.evaluation import count

MANIFEST = "manifest.json"
LARGEST = 16 << 20  # bytes; a shard takes 150
LONGEST = 200  # characters of a text
DIGITS = 12  # hex digits of a digest that are shown


@dataclass(frozen=True)
class Split:
    """`source`: digest of the data set that it was made of; `pictures`: of its stored pictures, labels and order."""

    address: str
    kind: str
    source: str
    pictures: str
    count: int
    settings: Mapping[str, str]


def read(clients: Clients, address: str) -> Split:
    """`address`: the split's folder. Raises ServiceError, StorageError; ServiceError too for what is no manifest."""
    uri = f"{address.rstrip('/')}/{MANIFEST}"
    try:
        manifest = json.loads(clients.storage.get_bytes(uri, LARGEST))
    except (ValueError, RecursionError) as exc:
        raise _foreign(uri, "no JSON") from exc
    if not isinstance(manifest, dict):
        raise _foreign(uri, "no object")
    source, shards, size = manifest.get("source"), manifest.get("shards"), count(manifest.get("count"))
    digest = source.get("digest") if isinstance(source, dict) else None
    if not isinstance(digest, str) or not isinstance(shards, list) or size is None:
        raise _foreign(uri, "without source, shards and count")
    stored = [[shard.get("rows"), shard.get("sha256")] if isinstance(shard, dict) else None for shard in shards]
    held = json.dumps([manifest.get("classes"), stored], sort_keys=True)
    return Split(
        address=address,
        kind=_text(source.get("kind")) if isinstance(source, dict) else "",
        source=_text(digest),
        pictures=sha256_hex(held.encode()),
        count=size,
        settings=_settings(manifest.get("settings")),
    )


def told(split: Split) -> str:
    """In words: how many pictures, and of what."""
    return f"{split.count:,} pictures {split.pictures[:DIGITS]} of {split.kind} {split.source[:DIGITS]}"


def _foreign(uri: str, what: str) -> ServiceError:
    return ServiceError("ValidationException", f"{uri} is {what}: no manifest of PrepareData")


def _settings(value: Any) -> dict[str, str]:
    """As texts, each in one piece: they are compared and shown."""
    found = value if isinstance(value, dict) else {}
    return {_text(name): _text(json.dumps(each, sort_keys=True)) for name, each in list(found.items())[:LONGEST]}


def _text(value: Any) -> str:
    return str(value)[:LONGEST].encode("utf-8", "replace").decode()
