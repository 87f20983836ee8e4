"""What the server is told by environment variables: SageMaker's own, and DARKROOM_… of the model package."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from payload import MAX_BODY
from refusal import Refusal

MEGABYTE = 2**20
NETWORKS = ("fastest", "plain")
LOGS = ("errors", "refused", "all")  # requests that get a line each: 5xx; and 4xx; and all


class Settings(NamedTuple):
    """Every one has a default that fits SageMaker's real-time endpoints."""

    model_dir: Path
    host: str = "0.0.0.0"  # SageMaker reaches the container from outside, under names of its own
    port: int = 8080
    max_body: int = MAX_BODY  # bytes
    max_batch: int = 32  # pictures in one forward pass
    batch_seconds: float = 0.2  # and no more than the model does in that time
    network: str = "fastest"  # or plain: exactly as torch has it
    queue: int = 128  # requests at once, those included that are being worked on
    log: str = "refused"
    capture: Path | None = None  # folder
    capture_share: float = 1.0  # of requests
    capture_bytes: int = 256 * MEGABYTE
    body_seconds: float = 60.0  # for all of a body to arrive: SageMaker gives up an invocation after so long


def read(env: Mapping[str, str]) -> Settings:
    """Raises Refusal with the variable's name and value."""
    kept = Settings(Path(env.get("SM_MODEL_DIR", "/opt/ml/model")))
    return kept._replace(
        host=env.get("DARKROOM_BIND", kept.host),
        port=int(_number(env, "SAGEMAKER_BIND_TO_PORT", kept.port, 1, 65_535)),
        max_body=_most(env),
        max_batch=int(_number(env, "DARKROOM_BATCH", kept.max_batch, 1, 4096)),
        batch_seconds=_number(env, "DARKROOM_BATCH_MS", 1000 * kept.batch_seconds, 1, 60_000) / 1000,
        network=_word(env, "DARKROOM_NETWORK", kept.network, NETWORKS),
        queue=int(_number(env, "DARKROOM_QUEUE", kept.queue, 1, 65_536)),
        log=_word(env, "DARKROOM_LOG", kept.log, LOGS),
        capture=Path(env["DARKROOM_CAPTURE"]) if env.get("DARKROOM_CAPTURE") else None,
        capture_share=_number(env, "DARKROOM_CAPTURE_PERCENT", 100, 0, 100) / 100,
        capture_bytes=int(_number(env, "DARKROOM_CAPTURE_MB", 256, 1, 1_000_000)) * MEGABYTE,
    )


def _most(env: Mapping[str, str]) -> int:
    """A batch transform says itself how long its payloads are; 0 means any length, of which 100 MB is enough."""
    if env.get("SAGEMAKER_BATCH", "").lower() == "true" and "DARKROOM_MAX_BODY" not in env:
        return int(_number(env, "SAGEMAKER_MAX_PAYLOAD_IN_MB", 6, 0, 100) or 100) * MEGABYTE
    return int(_number(env, "DARKROOM_MAX_BODY", MAX_BODY, 1, 1024 * MEGABYTE))


def _number(env: Mapping[str, str], name: str, default: float, low: float, high: float) -> float:
    if name not in env:
        return default
    text = env[name]
    value = float(text) if re.fullmatch("[0-9]{1,12}([.][0-9]{1,6})?", text) else -1.0
    if not low <= value <= high:
        raise Refusal(f"{name} is {text!r}: take a number from {low:g} to {high:g}")
    return value


def _word(env: Mapping[str, str], name: str, default: str, words: tuple[str, ...]) -> str:
    value = env.get(name, default)
    if value not in words:
        raise Refusal(f"{name} is {value!r}: take one of {', '.join(words)}")
    return value
