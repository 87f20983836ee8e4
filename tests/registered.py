"""Models that a small pipeline made, judged and registered on this machine, its programs writing darkroom's files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from local_jobs import put_archive
from local_pipelines import BUCKET, IMAGE, Local, document, output_of, processing

from pipeline.client import Clients
from pipeline.control import upserting, versions
from pipeline.models.prepared import MANIFEST

GROUP, PIPELINE = "digits", "digits"
COMMIT = "c" * 40
OUT = "/opt/ml/processing/output"
EPOCHS = [
    {"epoch": n, "train_loss": 2 / n, "validation_loss": 2.2 / n, "validation_accuracy": 1 - 0.3 / n} for n in (1, 2, 3)
]
TRAIN = f"""import json, os
folder = os.path.join(os.environ["SM_OUTPUT_DATA_DIR"], "report")
os.makedirs(folder)
with open(os.path.join(folder, "training.json"), "w") as file:
    json.dump({{"epochs": {EPOCHS}}}, file)
print("epoch=3 validation_accuracy=0.97")
"""
PARAMETERS = [{"Name": "Epochs", "Type": "Integer", "DefaultValue": 2}]


def manifest(source: str = "d" * 64, pictures: str = "a" * 64, count: int = 360, seed: int = 0) -> dict[str, Any]:
    """Of a split, as PrepareData writes it."""
    shard = {"file": "00000.arrow", "rows": count, "bytes": 1000, "sha256": pictures}
    body = {"format": 2, "classes": ["cat", "dog", "owl"], "count": count, "shards": [shard]}
    return {**body, "source": {"kind": "imagefolder", "digest": source}, "settings": {"seed": seed, "image_size": 32}}


def evaluated(accuracy: float = 0.9, owl: float = 0.8, **more: Any) -> dict[str, Any]:
    """evaluation.json as EvaluateModel writes it; `more` goes into its `darkroom` part."""
    recalls = {"cat": 0.95, "dog": 0.9, "owl": owl}
    rows = [{"class": name, "count": 120, "precision": 0.9, "recall": recalls[name], "f1": 0.9} for name in recalls]
    calibration = {"temperature": 1.25, "in_the_model": True, "error_before": 0.05, "error_after": 0.02}
    figures = {
        "accuracy_interval": [accuracy - 0.03, accuracy + 0.02],
        "count": 360,
        "macro": {"precision": 0.9, "recall": 0.88, "f1": 0.89},
        "validation_accuracy": 0.93,
        "per_class": rows,
        "calibration": calibration,
        "behind_champion": 0.0,
        **more,
    }
    quality = {"accuracy": {"value": accuracy, "standard_deviation": 0.01}}
    return {"version": 0, "multiclass_classification_metrics": quality, "darkroom": figures}


def against(champion: str, difference: float = 0.02, **more: Any) -> dict[str, Any]:
    """What `darkroom.champion` says of a paired comparison."""
    found = {"compared": True, "package": champion, "difference": difference, "interval": [difference - 0.01, 0.03]}
    sides = {"right_here_only": 9, "right_there_only": 2}
    return {**found, "verdict": "better", **sides, "same_data": True, "regressions": [], **more}


class Registered(Local):
    """`add` runs the pipeline once more, and gives the version that came of it."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.clients = Clients(self.client, self.client, self.client.storage, self.home)

    def add(
        self,
        report: dict[str, Any] | str | None = None,
        train: dict[str, Any] | None = None,
        test: dict[str, Any] | None = None,
        code: str = "0123456789abcdef",
        **hyperparameters: str,
    ) -> int:
        put_archive(Path(self.home), code_address(code), {"train.py": f"# {code}\n{TRAIN}", "same.py": ""})
        written = report if isinstance(report, str) else json.dumps(report or evaluated())
        text = json.dumps(
            definition(written, train or manifest(), test or manifest(pictures="b" * 64), code, hyperparameters)
        )
        role = "arn:aws:iam::123456789012:role/darkroom"
        wanted = upserting.Wanted(PIPELINE, text, role, "about", [], f"{BUCKET}/")
        upserting.upsert(self.clients, wanted, versions.CURRENT, COMMIT)
        started = self.client.start_pipeline_execution(PipelineName=PIPELINE)["PipelineExecutionArn"]
        ended = self.wait(started)
        assert ended["PipelineExecutionStatus"] == "Succeeded", ended
        return int(self.steps(started)["Register"]["Metadata"]["RegisterModel"]["Arn"].rpartition("/")[2])

    def package(self, version: int) -> dict[str, Any]:
        found: dict[str, Any] = self.client.describe_model_package(ModelPackageName=f"{GROUP}/{version}")
        return found

    def decide(self, version: int, status: str, **more: str) -> None:
        arn = self.package(version)["ModelPackageArn"]
        self.client.update_model_package(ModelPackageArn=arn, ModelApprovalStatus=status, **more)


def code_address(digest: str) -> str:
    return f"{BUCKET}/code/train-{digest}/sourcedir.tar.gz"


def definition(
    report: str, train: dict[str, Any], test: dict[str, Any], code: str, hyperparameters: dict[str, str]
) -> dict[str, Any]:
    """Prepare → Train, Evaluate → Register."""
    words: list[str] = []
    for name, split in (("train", train), ("test", test)):
        words += ["write", f"{OUT}/{name}/{MANIFEST}", json.dumps(split)]
    prepare = processing("Prepare", *words, outputs=["train", "test"], cache=True)
    judge = processing("Evaluate", "write", f"{OUT}/evaluation/evaluation.json", report, outputs=["evaluation"])
    judge["DependsOn"] = ["Train"]
    judge["Arguments"]["ProcessingInputs"].append(
        _reads("test", "/opt/ml/processing/input/test", output_of("Prepare", "test"))
    )
    return document(prepare, _training(code, hyperparameters), judge, _register(code), parameters=PARAMETERS)


def _reads(name: str, local: str, uri: Any) -> dict[str, Any]:
    s3 = {"S3Uri": uri, "LocalPath": local, "S3DataType": "S3Prefix", "S3InputMode": "File"}
    return {"InputName": name, "AppManaged": False, "S3Input": s3}


def _training(code: str, hyperparameters: dict[str, str]) -> dict[str, Any]:
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": output_of("Prepare", "train")}}
    arguments = {
        "AlgorithmSpecification": {
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "validation_accuracy", "Regex": "validation_accuracy=([0-9.]+)"}],
        },
        "HyperParameters": {
            "sagemaker_program": "train.py",
            "sagemaker_submit_directory": code_address(code),
            "epochs": {"Std:Join": {"On": "", "Values": [{"Get": "Parameters.Epochs"}]}},
            **hyperparameters,
        },
        "InputDataConfig": [{"ChannelName": "train", "DataSource": source}],
        "OutputDataConfig": {"S3OutputPath": f"{BUCKET}/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    }
    return {"Name": "Train", "Type": "Training", "Arguments": arguments}


def _register(code: str) -> dict[str, Any]:
    address = {"Std:Join": {"On": "/", "Values": [output_of("Evaluate", "evaluation"), "evaluation.json"]}}
    container = {"Image": "serve:1", "ModelDataUrl": {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"}}
    arguments = {
        "ModelPackageGroupName": GROUP,
        "ModelPackageDescription": "resnet18 of the pipeline digits",
        "InferenceSpecification": {
            "Containers": [container],
            "SupportedContentTypes": ["image/png"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
        "ModelMetrics": {"ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": address}}},
        "CustomerMetadataProperties": {
            "execution": {"Get": "Execution.PipelineExecutionArn"},
            "architecture": "resnet18",
            "code train.py": f"train-{code}",
        },
    }
    return {"Name": "Register", "Type": "RegisterModel", "Arguments": arguments}
