"""Does the local service stay linear in time and flat in memory? Definitions of many steps, tunings of many trials.

python benchmarks/scale.py [steps|trials ...]
"""

import json
import os
import platform
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from local_pipelines import BUCKET, IMAGE, ROLE, Local, document, processing

TRIAL = "import json; print('score=' + json.load(open('/opt/ml/input/config/hyperparameters.json'))['x'], flush=True)"


def rss_peak_mib(pid: int) -> float:
    """The runner's own peak, from /proc (Linux); its children are not in it."""
    text = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("VmHWM"))


def measure(local: Local, definition: dict[str, object]) -> tuple[float, float]:
    """Seconds until the execution ended, and the runner's peak memory in MiB."""
    start = time.perf_counter()
    arn = local.start(definition)
    peak = 0.0
    while True:
        row = local.client.store.query("SELECT status, json_extract(runner, '$.pid') FROM executions WHERE arn=?", arn)[
            0
        ]
        if row[0] not in ("Executing", "Stopping"):
            break
        if row[1]:
            with suppress(OSError, StopIteration):  # it ended between the two looks
                peak = max(peak, rss_peak_mib(row[1]))
        time.sleep(0.05)
    seconds = time.perf_counter() - start
    if row[0] != "Succeeded":
        raise SystemExit(local.client.describe_pipeline_execution(PipelineExecutionArn=arn)["FailureReason"])
    return seconds, peak


def steps(count: int) -> dict[str, object]:
    """A chain: each step waits for the one before it."""
    chain = [processing(f"S{n}", **({"DependsOn": [f"S{n - 1}"]} if n else {})) for n in range(count)]
    return document(*chain)


def trials(count: int) -> dict[str, object]:
    config = {
        "Strategy": "Random",
        "RandomSeed": 1,
        "ResourceLimits": {"MaxNumberOfTrainingJobs": count, "MaxParallelTrainingJobs": 2},
        "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "score"},
        "ParameterRanges": {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "1"}]},
    }
    algorithm = {
        "TrainingImage": IMAGE,
        "TrainingInputMode": "File",
        "ContainerEntrypoint": [
            "python3",
            "-S",
            "-c",
            TRIAL,
        ],
        "MetricDefinitions": [{"Name": "score", "Regex": "score=([0-9.e-]+)"}],
    }
    definition = {
        "StaticHyperParameters": {},
        "AlgorithmSpecification": algorithm,
        "RoleArn": ROLE,
        "OutputDataConfig": {"S3OutputPath": f"{BUCKET}/tuning/"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    }
    arguments = {"HyperParameterTuningJobConfig": config, "TrainingJobDefinition": definition}
    return document({"Name": "Tune", "Type": "Tuning", "Arguments": arguments})


SIZES = {"steps": (steps, (250, 500, 1000)), "trials": (trials, (125, 250, 500))}


def main(wanted: list[str]) -> None:
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()},"
        f" load {os.getloadavg()[0]:.2f}\n"
    )
    print("| what | count | seconds | ms each | runner's peak MiB | definition KiB |\n|---|---|---|---|---|---|")
    for name in wanted or list(SIZES):
        make, counts = SIZES[name]
        for count in counts:
            with tempfile.TemporaryDirectory(prefix="darkroom-scale-") as folder:
                definition = make(count)
                seconds, peak = measure(Local(Path(folder)), definition)
                size = len(json.dumps(definition)) / 1024
                print(
                    f"| {name} | {count} | {seconds:.1f} | {seconds / count * 1000:.1f} | {peak:.0f} | {size:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main(sys.argv[1:])
