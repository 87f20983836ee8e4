"""One thing that a check found in the account: how it stands, about what, and what to type next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

OK, WARNING, ERROR, UNKNOWN = STATUSES = ("ok", "warning", "error", "cannot tell")
_FIRST = (ERROR, WARNING, UNKNOWN, OK)


@dataclass(frozen=True)
class Finding:
    """`subject` is what it is about, by its name in AWS; `mend` a command or a step in the console, empty where ok."""

    status: str
    subject: str
    message: str
    mend: str = ""
    check: str = ""

    def of(self, check: str) -> Finding:
        return replace(self, check=check)

    def document(self) -> dict[str, str]:
        """As `darkroom check --json` prints it."""
        return {
            "Check": self.check,
            "Status": self.status,
            "Subject": self.subject,
            "Message": self.message,
            "Mend": self.mend,
        }


def ok(subject: str, message: str) -> Finding:
    return Finding(OK, subject, message)


def warning(subject: str, message: str, mend: str) -> Finding:
    return Finding(WARNING, subject, message, mend)


def error(subject: str, message: str, mend: str) -> Finding:
    return Finding(ERROR, subject, message, mend)


def unknown(subject: str, message: str, mend: str) -> Finding:
    return Finding(UNKNOWN, subject, message, mend)


def worst_first(found: Iterable[Finding]) -> list[Finding]:
    """Errors, then warnings, then what nobody knows; those alike in the order in which they were found."""
    return sorted(found, key=lambda each: _FIRST.index(each.status))
