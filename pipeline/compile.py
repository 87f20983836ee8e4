"""Compiles pipeline.yaml in a child process and remembers the result by the digest of all that goes into it.

The SDK takes two to three seconds to import; this module takes none: it imports neither it nor pydantic nor yaml.
"""

from __future__ import annotations

import json
import os
import sys

from pipeline.errors import ConfigError, DarkroomError, StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pipeline.builder import Compiled
    from pipeline.config import Config

FORMAT = "1"
_HERE = os.path.dirname(os.path.abspath(__file__))
_HOME = os.path.dirname(_HERE)
# Sources and packages that decide what a configuration compiles to.
_OWN_SOURCES = ("pipeline/config", "pipeline/builder.py", "pipeline/source.py", "pipeline/compile.py", "steps")
_PACKAGES = ("sagemaker", "botocore", "pydantic", "pyyaml")


class CompiledOnDisk:
    """A compiled pipeline in its folder: definition.json, manifest.json and the files that go to S3 and Lambda."""

    __slots__ = ("_config_folder", "folder", "manifest")

    def __init__(self, folder: str, config_folder: str) -> None:
        self.folder = folder
        self._config_folder = config_folder
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

    def dataset_folder(self) -> str | None:
        """The local folder with the pictures, which a run copies to S3; None for S3 addresses and digits."""
        source = self.manifest["dataset"]["source"]
        if source is None or source.startswith("s3://"):
            return None
        folder = os.path.normpath(os.path.join(self._config_folder, os.path.expanduser(source)))
        if not os.path.isdir(folder):
            problem = f'dataset.source: "{source}" is not a folder; looked for {folder}'
            raise ConfigError("pipeline.yaml", [problem], "a relative path starts at the folder of pipeline.yaml")
        return folder


def compile_pipeline(config_path: str, home: str) -> CompiledOnDisk:
    """The compiled pipeline below `<home>/compiled/`; compiles only what was not compiled before.

    Raises ConfigError or DarkroomError as the builder does, and StorageError when `home` cannot be written.
    """
    config_path = os.path.abspath(config_path)
    root = entrypoints_root(config_path)
    while True:
        folder = os.path.join(os.path.abspath(home), "compiled", compile_digest(config_path, root))
        if os.path.isdir(folder):
            return CompiledOnDisk(folder, os.path.dirname(config_path))
        _compile_into(folder, config_path, root)


def entrypoints_root(config_path: str) -> str:
    """`entrypoints/` beside pipeline.yaml if there is one, else the one that comes with darkroom."""
    beside = os.path.join(os.path.dirname(config_path), "entrypoints")
    return beside if os.path.isdir(beside) else os.path.join(_HOME, "entrypoints")


def compile_digest(config_path: str, root: str) -> str:
    """32 hex digits of the configuration, the entry points, our own sources and the versions behind them."""
    import hashlib

    total = hashlib.sha256(FORMAT.encode())
    parts = [("config", _config_bytes(config_path)), *_files(root, "")]
    for source in _OWN_SOURCES:
        path = os.path.join(_HOME, source)
        parts += _files(path, source, ".py") if os.path.isdir(path) else [(source, _bytes(path))]
    parts += [(name, b"") for name in _versions()]
    for name, body in parts:
        total.update(f"{len(name)} {name} {len(body)} ".encode())
        total.update(body)
    return total.hexdigest()[:32]


def _config_bytes(path: str) -> bytes:
    try:
        return _bytes(path)
    except OSError as exc:
        hint = "name the file with -c, or run darkroom in the folder that holds pipeline.yaml"
        raise ConfigError(os.path.basename(path), [f"(file): {path} cannot be read: {exc.strerror}"], hint) from exc


def _bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _files(folder: str, label: str, ending: str = "") -> list[tuple[str, bytes]]:
    """(label/relative path, content) of every file below `folder` but caches and hidden ones, sorted."""
    found = []
    for here, folders, files in os.walk(folder):
        folders[:] = [each for each in folders if each != "__pycache__" and not each.startswith(".")]
        for name in files:
            if name.endswith(ending) and not name.startswith("."):
                path = os.path.join(here, name)
                found.append((f"{label}/{os.path.relpath(path, folder)}", _bytes(path)))
    return sorted(found)


def _versions() -> Iterator[str]:
    """Folder names such as sagemaker-3.27.0.dist-info: importlib.metadata would take longer to import."""
    yield "python-{}.{}".format(*sys.version_info)
    for folder in sys.path:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue  # sys.path may name archives and folders that do not exist
        yield from sorted(name for name in names if name.endswith(".dist-info") and _package(name) in _PACKAGES)


def _package(dist_info: str) -> str:
    return dist_info.split("-", 1)[0].lower()


def _compile_into(folder: str, config_path: str, root: str) -> None:
    """Everything appears at once, or not at all: written aside, then renamed."""
    import shutil
    import tempfile

    try:
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        aside = tempfile.mkdtemp(prefix=".new-", dir=os.path.dirname(folder))
    except OSError as exc:
        hint = "free some space, or set DARKROOM_HOME to a folder that can be written"
        raise StorageError(f"{os.path.dirname(folder)} cannot be written: {exc.strerror}", hint) from exc
    try:
        _run_child(config_path, root, aside)
        # A file that was saved meanwhile must not be remembered under the digest of the earlier one.
        if compile_digest(config_path, root) == os.path.basename(folder):
            os.rename(aside, folder)
    except OSError:
        # Somebody else compiled the same at the same time: theirs is as good.
        if not os.path.isdir(folder):
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _run_child(config_path: str, root: str, target: str) -> None:
    import subprocess

    # Without the AWS settings of this machine: a profile that does not exist would end the SDK's import.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAGEMAKER_"))}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (_HOME, os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-P", "-m", "pipeline.compile", config_path, root, target]
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode == 0:
        return
    report = os.path.join(target, "error.json")
    if os.path.exists(report):
        raise _error(json.loads(_bytes(report)))
    last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    raise DarkroomError(
        f"compiling {config_path} failed: {last}", f"for the whole text: {' '.join(command[:-1])} DIRECTORY"
    )


def _error(report: dict[str, Any]) -> DarkroomError:
    """The child's error, as if it had been raised here."""
    if report["problems"]:
        return ConfigError(report["source"], report["problems"], report["hint"])
    return DarkroomError(report["message"], report["hint"])


def main(arguments: list[str]) -> int:
    """The child: compiles `arguments` = [configuration, entry points, folder to write to]."""
    import gc
    from pathlib import Path

    # The SDK's import makes millions of objects that stay: without the collector 1.3 s of CPU instead of 1.8
    # (EPYC, Python 3.11, n=3 each).
    gc.disable()

    from pipeline.builder import build
    from pipeline.config import load_config

    config_path, root, target = map(Path, arguments)
    try:
        config = load_config(config_path)
        _write(build(config, root), config, target)
    except DarkroomError as exc:
        problems = list(exc.problems) if isinstance(exc, ConfigError) else []
        report = {"message": exc.message, "hint": exc.hint, "problems": problems, "source": config_path.name}
        (target / "error.json").write_text(json.dumps(report), encoding="utf-8")
        return 1
    return 0


def _write(compiled: Compiled, config: Config, target: Any) -> None:
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
        "region": config.pipeline.region,
        "account": config.pipeline.account,
        "bucket": config.pipeline.bucket_name,
        "prefix": config.pipeline.folder,
        "tags": [{"Key": key, "Value": value} for key, value in compiled.tags],
        "assets": [{"uri": asset.uri, "file": name} for name, asset in files],
        "functions": [{"arn": each.arn, "file": name, "handler": each.handler} for name, each in zips],
        "images": list(compiled.images),
        "dataset": {
            "kind": config.dataset.kind,
            "source": config.dataset.source,
            # A run copies a local folder to <folder><digest of its content>/ and passes that as DatasetUri.
            "folder": config.pipeline.address("datasets"),
        },
        "package_group": config.package_group,
        "endpoint_name": config.endpoint_name,
        "parameters": json.loads(compiled.definition_json)["Parameters"],
    }
    (target / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
