"""Does nothing; with a folder as argument, leaves one number there."""

import json
import os
import sys

if len(sys.argv) > 1:
    os.makedirs(sys.argv[1], exist_ok=True)
    with open(os.path.join(sys.argv[1], "quality.json"), "w") as file:
        json.dump({"quality": {"value": 0.9}}, file)
