"""An account for the smoke checks: the shipped pipeline by small programs, run once, with a champion, and in vain."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from local_jobs import put_archive

from pipeline.client import Clients
from pipeline.control import executions, pipelines
from pipeline.local.functions import register_function
from pipeline.local.images import register_image

ROOT = Path(__file__).parent.parent
GOLDEN = ROOT / "tests/data/golden/shipped.json"
PREPARE = """
import os, sys
if "broken" in sys.argv:
    sys.exit("no pictures")
for name in ("train", "validation", "test", "report"):
    os.makedirs(f"/opt/ml/processing/output/{name}", exist_ok=True)
    open(f"/opt/ml/processing/output/{name}/data", "w").write(name)
"""
TRAIN = """
import os, sys
for epoch in (1, 2):
    print(f"epoch={epoch} train_loss=0.5 validation_loss=0.5 validation_accuracy=0.9{epoch}", flush=True)
open(os.path.join(os.environ["SM_MODEL_DIR"], "model.pth"), "w").write("weights")
open(os.path.join(os.environ["SM_OUTPUT_DATA_DIR"], "figures.json"), "w").write("{}")
if os.path.isdir("/opt/ml/checkpoints"):
    open("/opt/ml/checkpoints/state", "a").write("state")
"""
EVALUATE = """
import json, os
report = {"multiclass_classification_metrics": {"accuracy": {"value": 0.987}}}
for name in ("evaluation", "report"):
    os.makedirs(f"/opt/ml/processing/output/{name}", exist_ok=True)
open("/opt/ml/processing/output/evaluation/evaluation.json", "w").write(json.dumps(report))
open("/opt/ml/processing/output/report/model.html", "w").write("<!doctype html><title>model</title>")
"""
DEPLOY = """
def handler(event, context):
    return {"endpoint_name": event["endpoint_name"], "endpoint_config_name": "c", "status": "Creating"}
"""
CHAMPION = """
def handler(event, context):
    return {"archive": ARCHIVE or event["without_champion"], "model_package_arn": PACKAGE or "none"}
"""


class Ran:
    """Executions: the first one, one after an approval, one below its threshold, one with limits, a broken one."""

    def __init__(self, clients: Clients, folder: Path) -> None:
        self.clients, self.folder = clients, folder
        self.text = GOLDEN.read_text(encoding="utf-8")
        register_image(clients.sagemaker.store, "*pytorch*", [sys.executable, "-S"])
        self._put_programs()
        functions(clients, folder)
        pipelines.upsert(clients, "darkroom-digits", self.text)
        self.first = self.run({})
        package, archive = self._approve()
        functions(clients, folder, archive=archive, package=package)
        self.again = self.run({})
        self.failed = self.run({"AccuracyThreshold": "0.9999", "MaxTuningJobs": "2"})
        self.limited = self._limited()
        self.text = re.sub(r'(?<="--kind",)\s*"digits"', '"broken"', self.text)
        pipelines.upsert(clients, "darkroom-digits", self.text)
        self.broken = self.run({})

    def _limited(self) -> str:
        """By a definition of its own: the runtime comes from a parameter, and trials have a checkpoint's address.

        Neither is a key of the cache: a hyperparameter more lets both steps run.
        """
        document = json.loads(self.text)
        by_name = {step["Name"]: step["Arguments"] for step in document["Steps"]}
        document["Parameters"].append({"Name": "Seconds", "Type": "Integer", "DefaultValue": 1800})
        by_name["TrainModel"]["StoppingCondition"]["MaxRuntimeInSeconds"] = {"Get": "Parameters.Seconds"}
        address = "s3://darkroom-111122223333-us-east-1/darkroom-digits/trials/"
        by_name["TuneModel"]["TrainingJobDefinition"]["CheckpointConfig"] = {"S3Uri": address}
        by_name["TrainModel"]["HyperParameters"]["limited"] = "1"
        by_name["TuneModel"]["TrainingJobDefinition"]["StaticHyperParameters"]["limited"] = "1"
        shipped, self.text = self.text, json.dumps(document)
        pipelines.upsert(self.clients, "darkroom-digits", self.text)
        arn = self.run({"Seconds": "2400"})
        self.text = shipped
        return arn

    def run(self, values: dict[str, str]) -> str:
        arn = pipelines.start(self.clients, "darkroom-digits", self.text, values)
        executions.wait(self.clients, arn, lambda execution, steps: None)
        return str(arn)

    def _put_programs(self) -> None:
        storage, home = self.clients.storage, Path(self.clients.home)
        for address in {each for each in _texts(json.loads(self.text)) if each.startswith("s3://")}:
            program = urlsplit(address).path.rpartition("/code/")[2].partition("-")[0]
            match program:
                case "prepare" | "evaluate":
                    text = {"prepare": PREPARE, "evaluate": EVALUATE}[program]
                    storage.put_bytes(f"{address}{program}.py", text.encode())
                case "train":
                    put_archive(home, f"{address}sourcedir.tar.gz", {"train.py": TRAIN})
        storage.put_bytes("s3://darkroom-111122223333-us-east-1/darkroom-digits/champion/none/no-approved-model", b"-")

    def _approve(self) -> tuple[str, str]:
        """ARN and archive of the package that the first execution registered."""
        sagemaker = self.clients.sagemaker
        [row] = sagemaker.list_model_packages(ModelPackageGroupName="darkroom-digits")["ModelPackageSummaryList"]
        sagemaker.update_model_package(ModelPackageArn=row["ModelPackageArn"], ModelApprovalStatus="Approved")
        described = sagemaker.describe_model_package(ModelPackageName=row["ModelPackageArn"])
        [container] = described["InferenceSpecification"]["Containers"]
        return row["ModelPackageArn"], container["ModelDataUrl"]


def functions(
    clients: Clients, folder: Path, account: str = "111122223333", archive: str = "", package: str = ""
) -> None:
    """Small ones, for those of the pipeline; the champion is this one."""
    for name, text in (("deploy", DEPLOY), ("champion", CHAMPION)):
        path = folder / f"{name}.py"
        path.write_text(f"ARCHIVE, PACKAGE = {archive!r}, {package!r}\n{text}")
        arn = f"arn:aws:lambda:us-east-1:{account}:function:darkroom-{name}"
        register_function(clients.sagemaker.store, arn, str(path), f"{name}.handler")


def stand_in(clients: Clients, folder: Path, account: str) -> None:
    """The same small programs in place of whatever was uploaded, in the account of somebody's pipeline.yaml."""
    programs = {"prepare.py": PREPARE, "train.py": TRAIN, "evaluate.py": EVALUATE}
    path = folder / "stand_in.py"
    path.write_text(
        f"import sys\nPROGRAMS = {programs!r}\ndel sys.argv[0]\nexec(PROGRAMS[sys.argv[0].rpartition('/')[2]])\n"
    )
    register_image(clients.sagemaker.store, "*pytorch*", [sys.executable, "-S", str(path)])
    functions(clients, folder, account)


def _texts(value: Any) -> list[str]:
    match value:
        case str():
            return [value]
        case dict():
            return [text for each in value.values() for text in _texts(each)]
        case list():
            return [text for each in value for text in _texts(each)]
    return []
