"""Entry points import the standard library, each other, and what AWS's training image holds; nothing else."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pictures

ENTRYPOINTS = Path(__file__).parent.parent / "entrypoints"
FILES = {".".join(path.relative_to(ENTRYPOINTS).with_suffix("").parts): path for path in ENTRYPOINTS.rglob("*.py")}
OWN = {name.partition(".")[0] for name in FILES}
IMAGE = {"torch", "torchvision", "numpy", "PIL", "sklearn", "pandas", "pyarrow", "cv2", "scipy"}
IMAGE |= {"threadpoolctl"}  # scikit-learn requires it
IMAGE |= {"onnx", "onnxruntime"}  # of builds of the image up to 2026-07; looked for, and never taken for granted
IMAGE |= {"smdebug"}  # of images up to 2023; looked for only where the job's configuration asks for it
SERVING = {"starlette", "uvicorn", "anyio"}  # the serving image is ours
PREPARE_STARTS_FAST = {"torch", "torchvision", "starlette", "uvicorn"}


@cache
def imported(path: Path) -> tuple[str, ...]:
    return tuple(_imported(path))


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import: the folder is the import root, not a package"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def tops(name: str) -> set[str]:
    return {module.partition(".")[0] for module in imported(FILES[name])}


def allowed(name: str) -> set[str]:
    if name.startswith("lambda_"):
        return {"boto3", "botocore", "rollout"}
    if name.startswith("rollout"):
        return {"botocore", "rollout"}
    if name == "deployment":  # in AWS's Ray Serve image
        return OWN | {"ray", "starlette"}
    return OWN | IMAGE | (SERVING if name in ("serve", "serving.answering") else set())


def closure(name: str, seen: set[str]) -> set[str]:
    for module in imported(FILES[name]):
        if module not in seen:
            seen.add(module)
            if module in FILES:
                closure(module, seen)
    return seen


def test_each_entry_point_imports_only_what_its_container_holds() -> None:
    assert {"prepare", "train", "evaluate", "inference", "serve", "lambda_deploy"} <= OWN
    for name in sorted(FILES):
        foreign = tops(name) - set(sys.stdlib_module_names) - allowed(name)
        assert not foreign, f"{name} imports {sorted(foreign)}"


def test_the_handlers_need_nothing_but_what_every_image_of_aws_holds() -> None:
    """The same archive is served by AWS's PyTorch toolkit, and judged by EvaluateModel."""
    assert not {module.partition(".")[0] for module in closure("inference", set())} & SERVING


def test_lambda_handlers_import_nothing_of_ours_but_their_own_parts() -> None:
    """What a container's programs import is not in the functions' zip files, and needs packages that Lambda lacks."""
    handlers = [name for name in FILES if name.startswith(("lambda_", "rollout"))]
    assert len(handlers) > 2
    for name in handlers:
        assert tops(name) & OWN <= {"rollout"}


def test_only_lambda_handlers_import_boto3() -> None:
    assert all("boto3" not in closure(name, set()) for name in FILES if not name.startswith("lambda_"))


def test_preparation_imports_torch_only_where_a_picture_needs_it() -> None:
    """Importing torch and torchvision takes 2.7 s; digits and CIFAR pictures are decoded without."""
    code = "import sys; import prepare; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ENTRYPOINTS, capture_output=True, text=True, check=True)
    assert not set(loaded.stdout.split()) & PREPARE_STARTS_FAST


def test_opening_a_split_imports_no_pandas_and_a_network_of_ones_own_no_torchvision(tmp_path: Path) -> None:
    """pyarrow imports pandas to hand out columns, wherever it is installed: half a second of every job."""
    pictures.colours(tmp_path, {"train": 2})
    code = "import sys, data, evaluate; assert len(data.open_split(sys.argv[1])) == 6; print(*sys.modules)"
    command = [sys.executable, "-c", code, str(tmp_path / "train")]
    loaded = subprocess.run(command, cwd=ENTRYPOINTS, capture_output=True, text=True, check=True)
    assert "inference" in loaded.stdout.split()
    assert not {"pandas", "torchvision"} & set(loaded.stdout.split())


def test_no_module_hides_one_of_the_standard_library_or_the_image() -> None:
    assert not OWN & (set(sys.stdlib_module_names) | IMAGE)
