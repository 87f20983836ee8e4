"""The role of the build of our own serving image: it pushes into one repository, and writes one log."""

from __future__ import annotations

from pipeline.config import Config
from pipeline.config.names import partition
from pipeline.iam import clauses, trust
from pipeline.iam.policies import Role
from pipeline.iam.statements import Place, Statement


def building(config: Config, project: str, group: str) -> Role:
    """`project`: of CodeBuild; `group`: its group of logs, which is there. What it builds reads nothing of the account.

    `darkroom iam` does not print it: only the stack that needs it makes it, under a name of CloudFormation's.
    """
    where = config.pipeline
    place = Place(partition(where.region), where.region, where.account)
    log = Statement("WriteLog", ("logs:CreateLogStream", "logs:PutLogEvents"), clauses.log_groups(place, (group,)))
    return Role(
        kind="image-build",
        arn=f"arn:{place.partition}:iam::{place.account}:role/{project}-build",
        purpose="the build of the serving image",
        trust=trust.of_codebuild(place, project),
        statements=(log, *clauses.pushing(place, config.serving_image)),
        pipeline=where.name,
    )
