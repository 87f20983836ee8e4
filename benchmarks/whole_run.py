"""The shipped pipeline as `make run` runs it: time, accuracy, peak memory of each program; then again, unchanged.

    python benchmarks/whole_run.py [RUNS=1]

Linux only: peak resident sizes are sampled from /proc every 0.1 s, for every process that belongs to the execution.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DARKROOM = [sys.executable, "-m", "pipeline"]


def peaks_while(command: list[str], env: dict[str, str]) -> tuple[float, dict[str, float]]:
    """Wall seconds, and the highest resident size in MiB of each program that ran meanwhile below this home."""
    peaks: dict[str, float] = {}
    start = time.perf_counter()
    process = subprocess.Popen(command, env=env, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, StopIteration, ValueError):
                if env["DARKROOM_HOME"].encode() in (entry / "environ").read_bytes():
                    name = program(entry)
                    peaks[name] = max(peaks.get(name, 0.0), resident_peak_mib(entry))
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return time.perf_counter() - start, peaks


def program(entry: Path) -> str:
    """train.py, prepare.py, …; what is none of them is darkroom itself."""
    words = (entry / "cmdline").read_bytes().decode().split("\0")
    return next((Path(word).name for word in words if word.endswith(".py")), "darkroom")


def resident_peak_mib(entry: Path) -> float:
    return next(int(line.split()[1]) / 1024 for line in (entry / "status").read_text().splitlines() if "VmHWM" in line)


def shown(env: dict[str, str]) -> dict[str, object]:
    done = subprocess.run([*DARKROOM, "show", "--json"], env=env, cwd=ROOT, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


def main(runs: int = 1) -> None:
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()},"
        f" load {os.getloadavg()[0]:.2f}\n"
    )
    print("| run | s | accuracy | peak MiB of each program | again, unchanged, s |\n|---|---|---|---|---|")
    for index in range(runs):
        with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as home:
            env = {**os.environ, "DARKROOM_HOME": home}
            seconds, peaks = peaks_while([*DARKROOM, "run"], env)
            accuracy = shown(env)["Accuracy"]
            again, _ = peaks_while([*DARKROOM, "run"], env)
            sizes = ", ".join(f"{name} {size:.0f}" for name, size in sorted(peaks.items()))
            print(f"| {index + 1} | {seconds:.1f} | {accuracy:.4f} | {sizes} | {again:.2f} |", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
