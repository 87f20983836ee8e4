"""What pages do to an execution."""

from __future__ import annotations

from pipeline.client import Clients
from pipeline.control import executions
from pipeline.studio import places
from pipeline.studio.asked import Asked, Go


def stop(clients: Clients, asked: Asked) -> Go:
    """Asks alone: the page then follows the execution to where it has stopped."""
    arn = places.arn(clients, asked.path["pipeline"], asked.path["execution"])
    executions.stop(clients, arn)
    return Go(places.execution(arn))


def resume(clients: Clients, asked: Asked) -> Go:
    arn = places.arn(clients, asked.path["pipeline"], asked.path["execution"])
    executions.resume(clients, arn)
    return Go(places.execution(arn))
