"""Splits the lines of a text file, one number each, into train and test."""

import argparse
import json
import os

parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("--share", type=float, required=True)
arguments = parser.parse_args()

base = "/opt/ml/processing"
with open(f"{base}/input/data/numbers.txt") as file:
    lines = file.read().split()
cut = int(len(lines) * arguments.share)
for name, part in (("train", lines[:cut]), ("test", lines[cut:])):
    os.makedirs(f"{base}/output/{name}", exist_ok=True)
    with open(f"{base}/output/{name}/numbers.txt", "w") as file:
        file.write("\n".join(part) + "\n")
os.makedirs(f"{base}/output/facts", exist_ok=True)
with open(f"{base}/output/facts/facts.json", "w") as file:
    json.dump({"rows": len(lines), "parts": [{"name": "train"}, {"name": "test"}]}, file)
