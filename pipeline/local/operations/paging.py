"""What answers have in common: pages and moments."""

from __future__ import annotations

import json

from pipeline.errors import ServiceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from typing import Any

_CHECK = 8  # hexadecimal digits


# of SQL, the same as milliseconds()
MILLISECONDS = "CAST(created * 1000 + 0.5 AS INTEGER)"


def moment(at: float) -> datetime:
    """boto3 answers with timezone-aware datetimes; to the millisecond, which is what clients send back in a filter."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(milliseconds(at) / 1000, UTC)


def seconds(moment: Any) -> float:
    """Of a filter, as boto3 takes it (datetime) or as it comes over HTTP; of a time here."""
    return float(moment) if isinstance(moment, int | float) else float(moment.timestamp())


def milliseconds(moment: Any) -> int:
    return int(seconds(moment) * 1000 + 0.5)


def between(at: float, after: Any, before: Any, inclusive: bool = False) -> bool:
    """Whether a time passes a filter: to the millisecond, so that what was told of it is its very limit.

    "After a time" and "before a time" leave that time out; the List operations of models, endpoints and their
    configurations have "greater than or equal to" in place of after (`inclusive`), as AWS's API reference words them.
    """
    if after is None and before is None:
        return True
    told = milliseconds(at)
    least = None if after is None else milliseconds(after) - inclusive
    return (least is None or told > least) and (before is None or told < milliseconds(before))


def to_token(scope: Mapping[str, Any], place: Any) -> str:
    """A NextToken: where the next page begins, and for which listing that counts."""
    from base64 import urlsafe_b64encode

    data = json.dumps(place).encode()
    return urlsafe_b64encode(_check(scope, data) + data).decode()


def from_token(scope: Mapping[str, Any], token: Any) -> Any:
    """Raises ServiceError ValidationException for a token that this listing did not give."""
    from base64 import urlsafe_b64decode

    try:
        data = urlsafe_b64decode(token)
        if data[:_CHECK] == _check(scope, data[_CHECK:]):
            return json.loads(data[_CHECK:])
    except (TypeError, ValueError):
        pass
    shown = str(token)[:80]
    message = f"the NextToken {shown!r} is none that this operation gave for these filters"
    raise ServiceError("ValidationException", message)


def _check(scope: Mapping[str, Any], data: bytes) -> bytes:
    from pipeline.digest import sha256_hex

    return sha256_hex(json.dumps(scope, sort_keys=True, default=str).encode() + b"\0" + data)[:_CHECK].encode()


def check_size(max_results: int) -> None:
    if not 1 <= max_results <= 100:
        raise ServiceError("ValidationException", f"MaxResults {max_results} is not between 1 and 100")


def page(member: str, items: list[Any], max_results: int, next_token: str) -> dict[str, Any]:
    """One page of a list; the token is the offset of the next. Raises ServiceError ValidationException."""
    check_size(max_results)
    scope = {"list": member}
    start = int(from_token(scope, next_token)) if next_token else 0
    answer: dict[str, Any] = {member: items[start : start + max_results]}
    if start + max_results < len(items):
        answer["NextToken"] = to_token(scope, start + max_results)
    return answer
