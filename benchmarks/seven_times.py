"""The reference of orchestration.py, as a command: `python step.py` seven times, one after another."""

import subprocess
import sys

for _ in range(7):
    subprocess.run([sys.executable, sys.argv[1]], check=True)
