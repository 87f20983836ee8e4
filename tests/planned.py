"""A plan of a definition on this machine, and what the execution then does."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from local_pipelines import Local

from pipeline.client import Clients
from pipeline.definition import Definition
from pipeline.plan import values
from pipeline.plan.caching import HIT, RUNS, SKIPPED, UNKNOWN, Forecast, Prediction
from pipeline.plan.history import Past


class Planned(Local):
    """`predict` and `run` take the same definition and values."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.clients = Clients(self.client, self.client, self.client.storage, self.home)

    def forecast(self, definition: dict[str, Any], now: float | None = None, **given: str) -> Forecast:
        read = Definition.parse(json.dumps(definition))
        known = self.client.list_pipelines()["PipelineSummaries"]
        past = Past(self.clients, str(known[0]["PipelineArn"])) if known else None
        return Forecast(self.clients, read, values.typed(read, given), past, now or time.time())

    def past(self) -> Past:
        return Past(self.clients, str(self.client.list_pipelines()["PipelineSummaries"][0]["PipelineArn"]))

    def predict(self, definition: dict[str, Any], now: float | None = None, **given: str) -> dict[str, Prediction]:
        return {found.step: found for found in self.forecast(definition, now, **given).predictions}

    def happens(self, definition: dict[str, Any], **given: str) -> dict[str, dict[str, Any]]:
        """The steps of an execution, as the service lists them."""
        parameters = [{"Name": name, "Value": value} for name, value in given.items()]
        return self.steps(self.run(definition, PipelineParameters=parameters)["PipelineExecutionArn"])


def agrees(predicted: dict[str, Prediction], happened: dict[str, dict[str, Any]]) -> list[str]:
    """What went otherwise than foretold. Of what is unknown only that can be wrong that it never starts."""
    wrong = []
    for name, found in predicted.items():
        row = happened.get(name)
        match found.outcome:
            case _ if found.only_if and row is None:
                continue
            case "hit":
                right = row is not None and row.get("CacheHitResult") == {"SourcePipelineExecutionArn": found.source}
            case "runs":
                missed = (row or {}).get("Darkroom", {}).get("CacheMiss", [])
                right = row is not None and "CacheHitResult" not in row and list(found.paths) == missed
            case "skipped":
                right = row is None
            case _:
                right = row is not None
        if not right:
            wrong.append(f"{name}: {found} but {row}")
    return wrong


__all__ = ["HIT", "RUNS", "SKIPPED", "UNKNOWN", "Planned", "agrees"]
