"""A training job that left health.json, as train.py writes it or as a stranger would: for the tests of its readers."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

from health import verdicts
from reported import FakeSageMaker, metadata, step

from pipeline.client import Clients
from pipeline.local.storage import Storage

ARCHIVE = "s3://bucket/j/output/output.tar.gz"
STEP = step("Train", "Training", 8, 9, **metadata("TrainingJob", "training-job", "j"))
FOUND = verdicts.issues(
    "Overfit", 8, "Validation's loss is 0.9 above training's in epoch 5 of 8", "more data", 120, None, 0.91, 0.1
)
FINE = verdicts.fine("DeadRelu", 1200, "All units are active")
MISSING = verdicts.missing("CPUBottleneck", "No GPU was seen", "train on an instance with one")
FAILED = verdicts.failed("mine", "mine.py, line 3: KeyError: 'x'", "mend the file")


def content(*found: verdicts.Verdict) -> dict[str, Any]:
    rows = [{**verdicts.body(each), "on_issue": "warn"} for each in found]
    return {"rules": rows, "summary": {}, "steps": 176, "every": 6, "stopped_by": None}


def packed(files: dict[str, bytes]) -> bytes:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text))
    return body.getvalue()


class Service(FakeSageMaker):
    """Of the run that the report's tests look at, a training that was told of rules."""

    told: dict[str, str] = {"health_rules": "Overfit"}
    status = "Completed"
    managed: dict[str, list[dict[str, str]]] = {}

    def describe_training_job(self, **_: Any) -> dict[str, Any]:
        own = {"TrainingJobStatus": self.status, "HyperParameters": self.told, **self.managed}
        return {**super().describe_training_job(), **own}


def clients(home: Path, judged: Any = None, **files: bytes) -> Clients:
    """`judged`: what health.json holds; `files` lie beside it, their names with __ for a slash and _ for a dot."""
    service, storage = Service(home / "log"), Storage(str(home))
    (home / "log").write_text("")
    held = {} if judged is None else {"health/health.json": judged if isinstance(judged, bytes) else _json(judged)}
    held |= {name.replace("__", "/"): body for name, body in files.items()}
    storage.put_bytes(ARCHIVE, packed(held))
    return Clients(service, service, storage, str(home))


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
