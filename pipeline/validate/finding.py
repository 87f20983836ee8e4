"""One thing that is wrong in a definition: where, what, and what to write instead."""

from __future__ import annotations


class Finding:
    """`step` is empty for what belongs to the document; `path` is a JSON path from `$`; severity "error" or "warning".

    A plain class: verdict.py makes these on the path of `darkroom start`, where dataclasses would cost 5 ms.
    """

    __slots__ = ("mend", "message", "path", "severity", "step")

    def __init__(self, step: str, path: str, message: str, mend: str, severity: str = "error") -> None:
        self.step = step
        self.path = path
        self.message = message
        self.mend = mend
        self.severity = severity

    def as_dict(self) -> dict[str, str]:
        return {
            "step": self.step,
            "path": self.path,
            "message": self.message,
            "mend": self.mend,
            "severity": self.severity,
        }

    def __str__(self) -> str:
        where = f"{self.step}: {self.path}" if self.step else self.path
        return f"{self.severity}: {where}: {self.message}\n    mend: {self.mend}"

    def __repr__(self) -> str:
        return f"Finding({self.step!r}, {self.path!r}, {self.message!r}, {self.mend!r}, {self.severity!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Finding) and self.as_dict() == other.as_dict()

    def __hash__(self) -> int:
        return hash((self.step, self.path, self.message))
