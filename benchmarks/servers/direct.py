"""Decode and forward called directly, by the archive's own handlers, without any server.

    python benchmarks/servers/direct.py ARCHIVE COUNT BODY…

Prints {"times": [seconds of each]} as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def main() -> None:
    folder, count, *files = sys.argv[1:]
    sys.path.insert(0, str(Path(folder) / "code"))
    import inference

    predictor = inference.model_fn(folder)
    bodies = [Path(name).read_bytes() for name in files]
    times = []
    for number in range(int(count) + 3):
        began = time.perf_counter()
        inference.output_fn(inference.predict_fn(inference.input_fn(bodies[number % len(bodies)]), predictor))
        times.append(time.perf_counter() - began)
    print(json.dumps({"times": times[3:]}))  # the first ones are slower


if __name__ == "__main__":
    main()
