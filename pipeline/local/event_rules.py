"""What EventBridge does for a deploying function: rules, kept in the store, and the process that plays their events.

A rule says whose endpoints it is about (those with a tag), which function hears of their changes, and how often the
function looks by itself. https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
"""

from __future__ import annotations

import os
from collections import namedtuple

from pipeline.local import detached, endpoint_record, guard
from pipeline.local.endpoint_files import Files, is_supervised

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.local.store import Record, Store

KIND = "event-rule"
EVERY_S = 300.0  # as the stack's rate(5 minutes)

# function: its ARN; mark: tag that such endpoints have; phase: tag that says where a deployment stands; rest: its
# values at which nothing follows any more; every: seconds between two looks
Rule = namedtuple("Rule", "function mark phase rest every")
# an endpoint as a rule sees it; tags: name → value; over: nothing follows unless somebody does something
Seen = namedtuple("Seen", "record tags over")


def put(store: Store, rule: Rule) -> None:
    """One for each function."""
    store.put(KIND, rule.function, rule._asdict())


def rules(store: Store) -> list[Rule]:
    return [Rule(**record.body) for record in store.list(KIND)]


def endpoints(store: Store, rule: Rule) -> Iterator[Seen]:
    """Those of the rule that are awake: of one that a run made, unseen, nothing is told until it is woken."""
    for record in store.list("endpoint"):
        tags = next((found.body for found in store.find("tags", record.arn)), {})
        if rule.mark in tags and _is_awake(store, record):
            over = record.status not in endpoint_record.IN_PROGRESS and tags.get(rule.phase) in rule.rest
            yield Seen(record, tags, over)


def _is_awake(store: Store, record: Record) -> bool:
    return record.status != endpoint_record.IN_SERVICE or is_supervised(Files(store.home, record.name))


def files(home: str) -> Files:
    """Of the process that plays events; no endpoint has such a name."""
    return Files(home, "events_")


def wake(store: Store) -> None:
    """Somebody has to tell of changes from now on; not in a run, with which that process would end."""
    own = files(store.home)
    if guard.MARK in os.environ or not store.list(KIND) or is_supervised(own):
        return
    detached.launch(own, "event_host", os.path.abspath(store.home))
