"""Idempotency: a call that is repeated with the token of an earlier one does nothing, and answers as that one did."""

from __future__ import annotations

import json
import time

from pipeline.digest import sha256_hex
from pipeline.errors import ServiceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from pipeline.local.store import Store

_KIND = "request-token"
_KEPT_S = 24 * 3600  # whoever repeats a call does it within minutes


def once(
    store: Store,
    operation: str,
    token: str,
    request: Mapping[str, Any],
    work: Callable[[], dict[str, Any]],
) -> tuple[dict[str, Any], bool]:
    """What `work` answers, or has answered when the token came first; and whether it was done now.

    Raises ServiceError ConflictException where the token came with another request. `work` must do no more than
    change the store: it and the token are kept together, or not at all.
    """
    if not token:
        return work(), True
    name, digest = f"{operation}/{token}", sha256_hex(json.dumps(request, sort_keys=True, default=str).encode())
    with store.transaction():
        for known in store.find(_KIND, name):
            if known.body["request"] != digest:
                message = f"the token {token!r} came with another {operation} request before"
                raise ServiceError("ConflictException", message, operation, "take a token of its own for each request")
            answer: dict[str, Any] = known.body["answer"]
            return answer, False
        answer = work()
        old = "DELETE FROM records WHERE kind=? AND created<?"
        store.execute(old, _KIND, time.time() - _KEPT_S)
        store.add(_KIND, name, {"request": digest, "answer": answer})
    return answer, True
