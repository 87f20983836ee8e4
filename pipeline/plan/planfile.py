"""The file of `plan -o`: the very bytes that were shown, for `upsert FILE` to send."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from pipeline.digest import sha256_hex
from pipeline.errors import DarkroomError, StorageError
from pipeline.whole_file import whole

FORMAT = "darkroom plan 1"
LARGEST = 32 << 20  # bytes; a definition has one megabyte at most
_AGAIN = "darkroom plan -o FILE"


@dataclass(frozen=True)
class Deployed:
    """What the plan was compared with. `version`: the newest one's id, 0 where the service lists none."""

    arn: str
    version: int
    sha256: str  # of its definition


@dataclass(frozen=True)
class PlanFile:
    """`deployed` is None where nothing was; `assets`: [address, SHA-256] of the code that the definition names."""

    pipeline: str
    definition: str
    sha256: str  # of the definition
    deployed: Deployed | None
    made_at: str  # ISO 8601, UTC
    darkroom: str  # the version that made it
    role_arn: str = ""
    description: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    assets: tuple[tuple[str, str], ...] = ()


def digest(text: str) -> str:
    """SHA-256 of a definition's bytes."""
    return sha256_hex(text.encode())


def write(path: str, plan: PlanFile) -> None:
    """The whole file or none of it. Raises StorageError."""
    body = {"format": FORMAT, **asdict(plan)}
    text = json.dumps({**body, "seal": _seal(body)}, indent=2, ensure_ascii=False) + "\n"
    try:
        with whole(path) as aside, open(aside, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as exc:
        raise StorageError(f"cannot write {path}: {exc.strerror}", "choose another file with -o") from exc


def read(path: str) -> PlanFile:
    """Raises DarkroomError for a file that cannot be read, is torn, or is not as `darkroom plan` wrote it."""
    body = _parsed(path)
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise DarkroomError(f"{path} is no plan of this version of darkroom ({FORMAT})", _AGAIN)
    if body.pop("seal", None) != _seal(body) or set(body) != {"format", *(each.name for each in fields(PlanFile))}:
        raise DarkroomError(
            f"{path} was changed after darkroom wrote it", f"a plan is not edited; make a new one: {_AGAIN}"
        )
    del body["format"]
    deployed = body.pop("deployed")
    tags, assets = (tuple((one, other) for one, other in body.pop(key)) for key in ("tags", "assets"))
    return PlanFile(**body, tags=tags, assets=assets, deployed=Deployed(**deployed) if deployed else None)


def _parsed(path: str) -> Any:
    try:
        with open(path, "rb") as file:
            raw = file.read(LARGEST + 1)
    except OSError as exc:
        raise DarkroomError(f"cannot read {path}: {exc.strerror}", _AGAIN) from exc
    if len(raw) > LARGEST:
        raise DarkroomError(f"{path} is larger than any plan", _AGAIN)
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as exc:
        raise DarkroomError(f"{path} is torn, or no plan: {exc}", _AGAIN) from exc


def _seal(body: dict[str, Any]) -> str:
    """Against accidents and edits by hand, not against forgery: whoever may upsert needs no forged plan."""
    return sha256_hex(json.dumps(body, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass"))
