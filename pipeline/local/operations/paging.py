"""What answers have in common: pages and moments."""

from __future__ import annotations

from pipeline.errors import ServiceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime
    from typing import Any


def moment(seconds: float) -> datetime:
    """boto3 answers with timezone-aware datetimes."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC)


def offset(max_results: int, next_token: str) -> int:
    """Where a page begins: its token. Raises ServiceError ValidationException."""
    if next_token and not next_token.isdigit():
        raise ServiceError("ValidationException", f"NextToken {next_token!r} is not one that this operation gave")
    if not 1 <= max_results <= 100:
        raise ServiceError("ValidationException", f"MaxResults {max_results} is not between 1 and 100")
    return int(next_token or 0)


def page(member: str, items: list[Any], max_results: int, next_token: str) -> dict[str, Any]:
    """One page of a list; the token is the offset of the next. Raises ServiceError ValidationException."""
    start = offset(max_results, next_token)
    answer: dict[str, Any] = {member: items[start : start + max_results]}
    if start + max_results < len(items):
        answer["NextToken"] = str(start + max_results)
    return answer
