"""A compiled pipeline in its folder: definition.json, manifest.json, and the files that go to S3 and to Lambda."""

from __future__ import annotations

import json
import os
from collections import namedtuple

from pipeline import model_files, own_network, own_rules
from pipeline.dataset_source import in_s3, located

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from pipeline.builder import Compiled
    from pipeline.config import Config


# what a configuration names beside it: `starts` are ModelFiles, `network` is a digest, `rules` name → digest, or None
Own = namedtuple("Own", "starts network rules")


class CompiledOnDisk:
    """What `write` left in a folder; the manifest is read at once, all else when it is asked for."""

    __slots__ = ("_config", "folder", "manifest")

    def __init__(self, folder: str, config: str) -> None:
        """`config`: the path of the file that it was compiled from."""
        self.folder = folder
        self._config = config
        with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as file:
            self.manifest: dict[str, Any] = json.load(file)

    @property
    def digest(self) -> str:
        return os.path.basename(self.folder)

    @property
    def name(self) -> str:
        return str(self.manifest["name"])

    @property
    def definition_path(self) -> str:
        return os.path.join(self.folder, "definition.json")

    def definition(self) -> str:
        """The bytes that validation, upsert and the plan all see."""
        with open(self.definition_path, encoding="utf-8") as file:
            return file.read()

    def assets(self) -> list[tuple[str, str]]:
        """(S3 address, file) of every object that has to be in S3 before the pipeline starts."""
        return [(asset["uri"], os.path.join(self.folder, asset["file"])) for asset in self.manifest["assets"]]

    def functions(self) -> list[tuple[str, str, str]]:
        """(ARN, zip file, handler) of every Lambda function that a step invokes."""
        known = self.manifest["functions"]
        return [(each["arn"], os.path.join(self.folder, each["file"]), each["handler"]) for each in known]

    def dataset_path(self) -> str | None:
        """The local folder or archive with the pictures, which a run copies to S3; None for S3 addresses and digits."""
        source = self.manifest["dataset"]["source"]
        if source is None or in_s3(source):
            return None
        folder, name = os.path.split(self._config)
        return located(source, folder, (name, "dataset.source"))

    def model_files(self) -> list[tuple[str, str]]:
        """(S3 address, file) of what training starts from, where that lies on this machine."""
        return [
            (each["uri"], model_files.located(each["source"], self._config)) for each in self.manifest["model_files"]
        ]

    def is_current(self) -> bool:
        """Whether the files that the configuration names are still those that were compiled."""
        own, rules = self.manifest["own_network"], self.manifest["own_rules"]
        return (
            (own is None or own_network.unchanged(own["source"], own["digest"], self._config))
            and (rules is None or own_rules.unchanged(rules["sources"], rules["digests"], self._config))
            and all(model_files.unchanged(each, self._config) for each in self.manifest["model_files"])
        )

    def own_network_tried(self, root: str) -> str | None:
        """What train.py, below `root`, would say of model.file; None without one, or where it cannot be tried here."""
        own = self.manifest["own_network"]
        return own and own_network.tried(own["source"], self._config, root, own["image_size"])


def write(compiled: Compiled, config: Config, own: Own, target: Path) -> None:
    """The folder of a compiled pipeline, for which the files of `own` were read; `target` exists already."""
    (target / "definition.json").write_text(compiled.definition_json, encoding="utf-8")
    files = [
        (f"assets/{number:03d}-{asset.uri.rsplit('/', 1)[-1]}", asset) for number, asset in enumerate(compiled.assets)
    ]
    zips = [(f"functions/{number:03d}.zip", function) for number, function in enumerate(compiled.functions)]
    for name, body in [(name, asset.body) for name, asset in files] + [(name, each.zip) for name, each in zips]:
        (target / name).parent.mkdir(exist_ok=True)
        (target / name).write_bytes(body)
    manifest = {
        "name": compiled.name,
        "description": compiled.description,
        "role_arn": compiled.role_arn,
        "tags": [{"Key": key, "Value": value} for key, value in compiled.tags],
        "assets": [{"uri": asset.uri, "file": name} for name, asset in files],
        "functions": [{"arn": each.arn, "file": name, "handler": each.handler} for name, each in zips],
        "images": list(compiled.images),
        "dataset": {
            "source": config.dataset.source,
            # A run copies a local folder or archive to <folder><digest of its content>/ and passes that as DatasetUri.
            "folder": config.pipeline.address("datasets"),
        },
        "model_files": [
            {
                "source": each.source,
                "stamp": each.stamp,
                "uri": config.model_address(each.key, each.digest) + os.path.basename(each.source),
            }
            for each in own.starts
        ],
        "own_network": own.network
        and {"source": config.model.file, "digest": own.network, "image_size": config.dataset.image_size},
        "own_rules": own.rules and {"sources": [each.file for each in config.health.own], "digests": own.rules},
    }
    (target / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
