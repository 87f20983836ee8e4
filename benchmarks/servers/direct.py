"""Decode and forward called directly, by the archive's own handlers, without any server.

    python benchmarks/servers/direct.py ARCHIVE BODY…

For each line of standard input, a number, it answers so many requests and prints their seconds as a JSON list.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def main() -> None:
    folder, *files = sys.argv[1:]
    sys.path.insert(0, str(Path(folder) / "code"))
    import inference

    predictor = inference.model_fn(folder)
    bodies = [Path(name).read_bytes() for name in files]
    number = 0
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            body, number = bodies[number % len(bodies)], number + 1
            began = time.perf_counter()
            inference.output_fn(inference.predict_fn(inference.input_fn(body), predictor))
            times.append(time.perf_counter() - began)
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main()
