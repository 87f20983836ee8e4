"""Filter patterns of CloudWatch Logs for unstructured lines: words, "phrases", ?either, -without.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
"""

from __future__ import annotations

import re

from pipeline.errors import ServiceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_TERM = re.compile(r'([?-]?)(?:"((?:[^"\\]|\\.)*)"|([\w.:*/=,;-]+))(?:\s+|$)')


def matcher(pattern: str) -> Callable[[str], bool]:
    """Raises ServiceError InvalidParameterException for patterns over JSON, columns and regular expressions."""
    terms = _terms(pattern.strip())
    needed, either, without = (
        [text for sign, text in terms if sign == wanted] for wanted in ("", "?", "-")
    )  # upper and lower case differ

    def matches(line: str) -> bool:
        return (
            all(text in line for text in needed)
            and (not either or any(text in line for text in either))
            and not any(text in line for text in without)
        )

    return matches


def _terms(pattern: str) -> list[tuple[str, str]]:
    found, place = [], 0
    while place < len(pattern):
        term = _TERM.match(pattern, place)
        if term is None:
            known = 'the local service knows words, "phrases", ?either and -without'
            message = f"Invalid filter pattern: {known}, not {pattern[place:][:80]!r}"
            raise ServiceError("InvalidParameterException", message, "FilterLogEvents")
        quoted = re.sub(r"\\(.)", r"\1", term[2]) if term[2] is not None else term[3]
        found.append((term[1], quoted))
        place = term.end()
    return found
