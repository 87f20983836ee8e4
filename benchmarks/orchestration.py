"""Orchestration overhead: seven no-op processing steps and one condition, against `python step.py` seven times.

    python benchmarks/orchestration.py [ROUNDS=15]

Whole commands on both sides, the same program and interpreter (the one that runs this script), alternated round by
round. `python_x7` is a Python script that runs the program seven times, as the peers' reference does; `loop` is
the same without that script's own start. `cold` runs every step (a new Salt each time), `cached` takes every step
from the cache, `first` includes the validation that is remembered after it.
"""

import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOREIGN = ROOT / "tests/data/foreign"
STEP = FOREIGN / "code/noop/step.py"
SEVEN_TIMES = Path(__file__).with_name("seven_times.py")
HEAVY = ("torch", "sagemaker", "pydantic", "botocore")


def timed(command: list[str], env: dict[str, str]) -> tuple[float, float]:
    """Wall seconds, and CPU seconds of the command and its children that it waited for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def loop(env: dict[str, str]) -> float:
    start = time.perf_counter()
    for _ in range(7):
        subprocess.run([sys.executable, str(STEP)], env=env, check=True)
    return time.perf_counter() - start


def heavy_imports(command: list[str], env: dict[str, str]) -> list[str]:
    done = subprocess.run(
        [command[0], "-X", "importtime", *command[1:]], env=env, check=True, capture_output=True, text=True
    )
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    return [name for name in HEAVY if name in loaded]


def main(rounds: int = 15) -> None:
    home = tempfile.mkdtemp(prefix="darkroom-bench-")
    env = {**os.environ, "DARKROOM_HOME": home}
    shutil.copytree(FOREIGN / "code/noop", f"{home}/s3/foreign-111122223333/code/noop")
    start = [sys.executable, "-m", "pipeline", "start", str(FOREIGN / "chain.json"), "--wait"]
    first, _ = timed([*start, "--image", f"*pytorch*={sys.executable}"], env)
    rows: dict[str, list[float]] = {"python_x7": [], "loop": [], "cold": [], "cached": []}
    for index in range(rounds):
        rows["python_x7"].append(timed([sys.executable, str(SEVEN_TIMES), str(STEP)], env)[0])
        rows["loop"].append(loop(env))
        rows["cold"].append(timed([*start, "--set", f"Salt=cold{index}"], env)[0])
        rows["cached"].append(timed([*start, "--set", "Salt=0"], env)[0])
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()},"
        f" n={rounds}, load {os.getloadavg()[0]:.2f}\n"
    )
    print("| what | median ms | min ms | ratio to python_x7 | ratio to loop |\n|---|---|---|---|---|")
    for name, values in rows.items():
        ratios = [
            statistics.median(value / floor for value, floor in zip(values, rows[reference], strict=True))
            for reference in ("python_x7", "loop")
        ]
        times = f"{statistics.median(values) * 1000:.0f} | {min(values) * 1000:.0f}"
        print(f"| {name} | {times} | {ratios[0]:.2f} | {ratios[1]:.2f} |")
    print(f"| first, with validation (n=1) | {first * 1000:.0f} | | | |")
    print(
        f"\nheavy packages imported by a validated run: {heavy_imports([*start, '--set', 'Salt=last'], env) or 'none'}"
    )
    shutil.rmtree(home)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
