"""Small definitions for tests of the local service, and a client that runs them on this machine."""

import json
import sys
import time
from pathlib import Path

from pipeline.local.images import register_image
from pipeline.local.service import connect
from pipeline.local.storage import Storage

IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch:2.12-cpu-amzn2023-sagemaker"
ROLE = "arn:aws:iam::111122223333:role/Test"
BUCKET = "s3://test-bucket"
CODE = f"{BUCKET}/code/"

# one program for every step: `tally FILE NAME` appends a line, `write FILE JSON`, `say TEXT`, `sleep S`, `await FILE`,
# `fail CODE`
PROGRAM = r"""
import os, sys, time
words = sys.argv[1:]
while words:
    verb = words.pop(0)
    if verb == "tally":
        path, name = words.pop(0), words.pop(0)
        with open(path, "a") as file:
            file.write(name + "\n")
    elif verb == "write":
        path, text = words.pop(0), words.pop(0)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
    elif verb == "sleep":
        time.sleep(float(words.pop(0)))
    elif verb == "await":
        path = words.pop(0)
        while not os.path.exists(path):
            time.sleep(0.01)
    elif verb == "say":
        print(words.pop(0), flush=True)
    elif verb == "fail":
        sys.exit(int(words.pop(0)))
    else:
        raise SystemExit("unknown verb " + verb)
"""


def processing(name, *words, outputs=(), cache=False, property_files=(), **members):
    request = {
        "ProcessingResources": {
            "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30}
        },
        "AppSpecification": {
            "ImageUri": IMAGE,
            "ContainerEntrypoint": ["python3", "-S", "-E", "/opt/ml/processing/input/code/step.py"],
            "ContainerArguments": list(words),
        },
        "RoleArn": ROLE,
        "ProcessingInputs": [
            {
                "InputName": "code",
                "AppManaged": False,
                "S3Input": {
                    "S3Uri": CODE,
                    "LocalPath": "/opt/ml/processing/input/code",
                    "S3DataType": "S3Prefix",
                    "S3InputMode": "File",
                },
            }
        ],
    }
    if not words:
        del request["AppSpecification"]["ContainerArguments"]
    if outputs:
        request["ProcessingOutputConfig"] = {"Outputs": [_output(name, output) for output in outputs]}
    step = {"Name": name, "Type": "Processing", "Arguments": request, **members}
    if cache:
        step["CacheConfig"] = {"Enabled": True, "ExpireAfter": "P1D"}
    if property_files:
        step["PropertyFiles"] = list(property_files)
    return step


def _output(step, output):
    where = {"Std:Join": {"On": "/", "Values": [BUCKET, {"Get": "Execution.PipelineExecutionId"}, step, output]}}
    local = f"/opt/ml/processing/output/{output}"
    return {
        "OutputName": output,
        "AppManaged": False,
        "S3Output": {"S3Uri": where, "LocalPath": local, "S3UploadMode": "EndOfJob"},
    }


def output_of(step, output):
    """Where it lies, as another step's request refers to it."""
    return {"Get": f"Steps.{step}.ProcessingOutputConfig.Outputs['{output}'].S3Output.S3Uri"}


def condition(name, conditions, then=(), otherwise=(), **members):
    arguments = {"Conditions": conditions, "IfSteps": list(then), "ElseSteps": list(otherwise)}
    return {"Name": name, "Type": "Condition", "Arguments": arguments, **members}


def fail(name, message, **members):
    return {"Name": name, "Type": "Fail", "Arguments": {"ErrorMessage": message}, **members}


def document(*steps, parameters=()):
    return {"Version": "2020-12-01", "Metadata": {}, "Parameters": list(parameters), "Steps": list(steps)}


class Local:
    """A client on a fresh folder, with the program in place and this Python standing in for the image."""

    def __init__(self, home: Path) -> None:
        self.home = str(home)
        self.client = connect(self.home)
        register_image(self.client.store, "*pytorch*", [sys.executable])
        Storage(self.home).put_bytes(f"{CODE}step.py", PROGRAM.encode())

    def create(self, definition, name="test"):
        text = json.dumps(definition)
        if any(p["PipelineName"] == name for p in self.client.list_pipelines()["PipelineSummaries"]):
            self.client.update_pipeline(PipelineName=name, PipelineDefinition=text)
        else:
            self.client.create_pipeline(PipelineName=name, PipelineDefinition=text, RoleArn=ROLE)
        return name

    def start(self, definition, name="test", **options):
        name = self.create(definition, name)
        return self.client.start_pipeline_execution(PipelineName=name, **options)["PipelineExecutionArn"]

    def wait(self, arn, seconds=60.0):
        deadline = time.monotonic() + seconds
        while True:
            execution = self.client.describe_pipeline_execution(PipelineExecutionArn=arn)
            if execution["PipelineExecutionStatus"] in ("Succeeded", "Failed", "Stopped"):
                return execution
            if time.monotonic() > deadline:
                raise TimeoutError(f"{arn} still {execution['PipelineExecutionStatus']}: {self.statuses(arn)}")
            time.sleep(0.01)

    def run(self, definition, **options):
        return self.wait(self.start(definition, **options))

    def steps(self, arn):
        rows = self.client.list_pipeline_execution_steps(
            PipelineExecutionArn=arn, SortOrder="Ascending", MaxResults=100
        )
        return {row["StepName"]: row for row in rows["PipelineExecutionSteps"]}

    def statuses(self, arn):
        return {name: row["StepStatus"] for name, row in self.steps(arn).items()}

    def wait_for_step(self, arn, name, status="Executing", seconds=120.0):
        deadline = time.monotonic() + seconds
        while self.statuses(arn).get(name) != status:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} is not {status}: {self.statuses(arn)}")
            time.sleep(0.01)
