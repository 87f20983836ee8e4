"""Does every page of the studio answer within 300 ms, with 1,000 executions and a tuning of 500 trials?

python benchmarks/studio.py [rounds]
"""

import json
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from local_pipelines import Local, document, processing
from scale import trials
from studios import Visitor, serving

from pipeline.client import local_session

EXECUTIONS, TRIALS, MOST_MS = 1000, 500, 300
JOB = """INSERT INTO records SELECT kind, ?, ?, status, created + ?, modified, ? FROM records
    WHERE kind='training-job' AND name=?"""
RUN = """INSERT INTO executions SELECT ?, ?, pipeline, version, status, created - ?, modified, ended, failure,
    stop_requested, runner, heartbeat, body FROM executions WHERE id=?"""


def tuning(local: Local) -> str:
    """The page of a step that has tuned five hyperparameters: one trial is real, the others are like it, each with
    values of its own."""
    arn = local.run(trials(1), name="tuning")["PipelineExecutionArn"]
    (job,) = local.client.store.list("training-job")
    draw = random.Random(0)
    with local.client.store.transaction():
        local.client.store.change("training-job", job.name, measured(job.body, draw))
        for number in range(1, TRIALS):
            name = job.name.replace("-001-", f"-{number + 1:03}-")
            text = json.dumps({**job.body, **measured(job.body, draw)}).replace(job.name, name)
            local.client.store.execute(JOB, name, job.arn.replace(job.name, name), number, text, job.name)
    return f"/pipelines/tuning/executions/{arn.rpartition('/')[2]}/steps/Tune"


def measured(job: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    """What tells one trial from another: the objective follows the learning rate, and something else."""
    power = draw.uniform(-5, -1)
    tuned = {
        "lr": str(10**power),
        "momentum": str(draw.uniform(0.5, 0.99)),
        "weight_decay": str(10 ** draw.uniform(-6, -2)),
        "batch_size": draw.choice(("16", "32", "64", "128")),
        "optimizer": draw.choice(("sgd", "adamw")),
    }
    objective = {"MetricName": "score", "Value": 0.95 - 0.05 * abs(power + 3) + draw.gauss(0, 0.02)}
    final = [{**each, **objective} for each in job["FinalMetricDataList"]]
    return {
        "TunedHyperParameters": tuned,
        "FinalHyperParameterTuningJobObjectiveMetric": objective,
        "FinalMetricDataList": final,
    }


def executed(local: Local) -> str:
    """The page of a pipeline that ran so often: one execution is real, the others are like it."""
    steps = [processing("First", "say", "one line\n" * 3000), processing("Second", DependsOn=["First"])]
    arn = local.run(document(*steps), name="often")["PipelineExecutionArn"]
    identifier = arn.rpartition("/")[2]
    with local.client.store.transaction():
        for number in range(1, EXECUTIONS):
            other = f"copy{number:08}"
            local.client.store.execute(RUN, other, arn.replace(identifier, other), number, identifier)
    return f"/pipelines/often/executions/{identifier}"


def measure(visitor: Visitor, path: str, rounds: int) -> tuple[list[float], list[float], int]:
    """Milliseconds from request to last byte, those of CPU in this process, which serves and asks, and bytes."""
    walls, cpus, size = [], [], 0
    for _ in range(rounds + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        said = visitor.get(path)
        walls.append(1000 * (time.perf_counter() - wall))
        cpus.append(1000 * (time.process_time() - cpu))
        size = len(said.text)
        if said.status != 200:
            raise SystemExit(f"{path}: {said.status}")
    return walls[1:], cpus[1:], size  # the first one parses templates


def pages(tuned: str, execution: str) -> dict[str, str]:
    """Rows of docs/benchmarks.md, a test compares them → addresses. `tuned`: that of a step, `execution` of one."""
    return {
        "all pipelines": "/",
        f"a pipeline of {EXECUTIONS:,} executions, 50 of them": "/pipelines/often",
        "an execution": execution,
        "a step": f"{execution}/steps/First",
        "a log of 3,000 lines, 1,000 of them": f"{execution}/steps/First/log?page=2",
        f"a tuning of {TRIALS} trials, five hyperparameters, all with their charts": tuned,
        "the execution of that tuning": tuned.rpartition("/steps/")[0],
        f"the next execution of a pipeline with {EXECUTIONS:,} before it": "/pipelines/often/plan",
        "start": "/pipelines/often/start",
    }


def main(rounds: int = 20) -> None:
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}", end="")
    print(f", load {os.getloadavg()[0]:.2f}, n={rounds}\n")
    print("| page | KiB | CPU ms (median) | ms (median) | ms (most) |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="darkroom-studio-") as folder:
        local = Local(Path(folder) / "home")
        asked = pages(tuning(local), executed(local))
        with serving(partial(local_session, local.home)) as visitor:
            slow = []
            for name, path in asked.items():
                walls, cpus, size = measure(visitor, path, rounds)
                wall, cpu = statistics.median(walls), statistics.median(cpus)
                print(f"| {name} | {size / 1024:.0f} | {cpu:.0f} | {wall:.0f} | {max(walls):.0f} |", flush=True)
                slow += [name] if wall > MOST_MS else []
    if slow:
        raise SystemExit(f"above {MOST_MS} ms: {', '.join(slow)}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
