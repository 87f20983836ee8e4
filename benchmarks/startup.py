"""What a person waits for before anything runs: `--help`, `compile`.

    python benchmarks/startup.py [ROUNDS=7]

Needs darkroom installed for this interpreter. Ratios are to `python -c pass`, alternated round by round.
"""

import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DARKROOM = [sys.executable, "-m", "pipeline"]


def seconds(command: list[str], env: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, env=env, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def main(rounds: int = 7) -> None:
    home = tempfile.mkdtemp(prefix="darkroom-bench-")
    env = {**os.environ, "DARKROOM_HOME": home}
    compiling = [*DARKROOM, "compile", "-o", f"{home}/definition.json"]
    rows: dict[str, list[float]] = {
        name: [] for name in ("python -c pass", "--help", "compile, first", "compile, unchanged")
    }
    for _ in range(rounds):
        rows["python -c pass"].append(seconds([sys.executable, "-c", "pass"], env))
        rows["--help"].append(seconds([*DARKROOM, "--help"], env))
        shutil.rmtree(f"{home}/compiled", ignore_errors=True)
        rows["compile, first"].append(seconds(compiling, env))
        rows["compile, unchanged"].append(seconds(compiling, env))
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()},"
        f" n={rounds}, load {os.getloadavg()[0]:.2f}\n"
    )
    print("| what | median s | min s | ratio to `python -c pass`, pair by pair |\n|---|---|---|---|")
    for name, values in rows.items():
        ratio = statistics.median(v / floor for v, floor in zip(values, rows["python -c pass"], strict=True))
        print(f"| {name} | {statistics.median(values):.3f} | {min(values):.3f} | {ratio:.1f} |")
    shutil.rmtree(home)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
