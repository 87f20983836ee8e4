"""The Lambda handlers of entrypoints/ as zip files, named by their content."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline import source
from pipeline.config import Config
from pipeline.config.names import partition
from pipeline.errors import StorageError

DEPLOY, CHAMPION, INVOKE = "lambda_deploy.py", "lambda_champion.py", "lambda_invoke.py"
FOLDER = "functions"


@dataclass(frozen=True)
class Package:
    """`key`: of the object in the pipeline's bucket; `function`: the name of the function that runs it."""

    program: str
    function: str
    key: str
    body: bytes

    @property
    def handler(self) -> str:
        return f"{Path(self.program).stem}.handler"

    @property
    def digest(self) -> str:
        """16 hex digits."""
        return self.key.rpartition("-")[2].removesuffix(".zip")

    @property
    def file(self) -> str:
        return self.key.rpartition("/")[2]


def packages(config: Config, root: Path) -> tuple[Package, ...]:
    """One for each function that pipeline.yaml leaves to the stack: those of other accounts or aliases are others'."""
    wanted = {DEPLOY: config.deploy_function}
    if config.evaluation.compare_with_champion:
        wanted[CHAMPION] = config.champion_function
    if not config.deploy.asynchronous:  # such an endpoint is asked through S3
        wanted[INVOKE] = config.invoke_function
    return tuple(_package(config, root, program, arn) for program, arn in wanted.items() if _is_ours(config, arn))


def write(found: tuple[Package, ...], folder: Path) -> list[Path]:
    """The files below `folder`, which are what `aws s3 cp --recursive` takes; those of older contents stay."""
    paths = [folder / each.file for each in found]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for each, path in zip(found, paths, strict=True):
            path.write_bytes(each.body)
    except OSError as exc:
        raise StorageError(f"cannot write {exc.filename}: {exc.strerror}", "choose another folder") from exc
    return paths


def _package(config: Config, root: Path, program: str, arn: str) -> Package:
    files = source.program_files(root, program)
    key = f"{config.pipeline.folder}/{FOLDER}/{Path(program).stem}-{source.digest(files)}.zip"
    return Package(program, arn.rpartition(":")[2], key, source.zip_archive(files))


def _is_ours(config: Config, arn: str) -> bool:
    where = config.pipeline
    return (
        arn.startswith(f"arn:{partition(where.region)}:lambda:{where.region}:{where.account}:") and arn.count(":") == 6
    )
