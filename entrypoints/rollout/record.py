"""Where a deployment stands, kept as tags of the endpoint: what SageMaker holds itself, no database can contradict."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from typing import Any

from rollout.account import Account

PREFIX = "darkroom:"
# asked: it is known what is to be deployed. deploying: the request was sent. undoing, restoring: likewise on the way
# back to the last good one. leaving: it is to be deleted. good and failed are where a deployment ends.
ASKING, DEPLOYING, UNDOING, RESTORING, LEAVING = "asking", "deploying", "undoing", "restoring", "leaving"
GOOD, FAILED = "good", "failed"
ENDED = (GOOD, FAILED)
LONGEST = 256
_FOREIGN = re.compile(r"[^\w\s.:/=+\-@]")


@dataclass(frozen=True)
class Record:
    """`asked`, `good` and `before` are names of endpoint configurations: wanted, the last good one, the one before it.

    `at`: when it was asked for. `scaling`, `update`, `alarms`: settings as texts. `reason`: why it failed.
    """

    phase: str = ""
    asked: str = ""
    at: str = ""
    good: str = ""
    before: str = ""
    reason: str = ""
    stage: str = ""
    smoke_test: str = ""
    scaling: str = ""
    update: str = ""
    alarms: str = ""

    def tags(self) -> list[dict[str, str]]:
        return [{"Key": f"{PREFIX}{name}", "Value": value} for name, value in asdict(self).items()]

    def but(self, **changes: str) -> Record:
        return replace(self, **changes)


def read(account: Account, live: dict[str, Any] | None) -> Record:
    """Of a described endpoint; without one, or for somebody else's, every field is empty."""
    if live is None:
        return Record()
    tags = account.tags(live["EndpointArn"])
    names = Record.__dataclass_fields__
    return Record(**{name: tags.get(f"{PREFIX}{name}", "") for name in names})


def write(account: Account, live: dict[str, Any], record: Record) -> Record:
    """All tags in one call: no reader sees half of them."""
    account.sagemaker.add_tags(ResourceArn=live["EndpointArn"], Tags=record.tags())
    return record


def conclude(account: Account, live: dict[str, Any], known: Record, **changes: str) -> bool:
    """Writes what came of `known`, unless something else was asked for meanwhile."""
    now = read(account, live)
    if (now.asked, now.at) != (known.asked, known.at):
        return False
    write(account, live, known.but(**changes))
    return True


def plain(text: str) -> str:
    """As a tag's value may be: letters, digits, blanks and _.:/=+-@, at most 256 of them."""
    return " ".join(_FOREIGN.sub(" ", text.replace(";", " -")).split())[:LONGEST].strip()
