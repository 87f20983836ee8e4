"""Whether tags of an endpoint, where the deploying function keeps where a deployment stands, are read as written."""

from __future__ import annotations

from smoke.account import PREFIX, Account
from smoke.deployed import staging
from smoke.stages import ENDPOINT
from smoke.verdict import Check, Verdict, judged

TIMES = 10
_NAMES = (f"{PREFIX}phase", f"{PREFIX}at")


def tags_at_once(account: Account) -> Verdict:
    """Written and read without a pause, both in one call, as the function does; its own tags stay as they are."""
    found = staging(account)
    arn = str(found.described["EndpointArn"])
    account.tell(f"makes the tags {', '.join(_NAMES)} of {found.name}")
    account.later(
        f"the tags {', '.join(_NAMES)} of {found.name}",
        lambda: account.ask("sagemaker", "delete_tags", ResourceArn=arn, TagKeys=list(_NAMES)),
    )
    stale = []
    for number in range(TIMES):
        written = dict(zip(_NAMES, (str(number), f"2026-12-01T00:00:0{number}Z"), strict=True))
        tags = [{"Key": key, "Value": value} for key, value in written.items()]
        account.ask("sagemaker", "add_tags", ResourceArn=arn, Tags=tags)
        rows = account.pages("sagemaker", "list_tags", "Tags", ResourceArn=arn)
        if (read := {row["Key"]: row["Value"] for row in rows if row["Key"] in _NAMES}) != written:
            stale.append(read)
    return judged(not stale, f"of {TIMES} times read otherwise than written: {stale or 'none'}")


CHECKS = (
    Check(
        "tags-at-once",
        ENDPOINT,
        tags_at_once,
        "each time what was written just before, all of it",
        "two tags of the endpoint, deleted again",
    ),
)
