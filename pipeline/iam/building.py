"""What the build of our own serving image may do: push into one repository, and write one log."""

from __future__ import annotations

from pipeline.config import Config
from pipeline.config.names import partition
from pipeline.iam import clauses
from pipeline.iam.statements import Place, Statement


def building(config: Config, group: str) -> tuple[Statement, ...]:
    """`group`: its group of logs, which is there. What it builds reads nothing of the account."""
    place = place_of(config)
    log = Statement("WriteLog", ("logs:CreateLogStream", "logs:PutLogEvents"), clauses.log_groups(place, (group,)))
    return log, *clauses.pushing(place, config.serving_image)


def place_of(config: Config) -> Place:
    where = config.pipeline
    return Place(partition(where.region), where.region, where.account)
