"""containers/serve: what the image holds, and its command as the image would run it, without privileges or a disk."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import test_inference
import test_serve
import torch
from packaging.requirements import Requirement
from training import packing

from pipeline import source
from pipeline.config import Config

ROOT = Path(__file__).parent.parent
IMAGE = ROOT / "containers/serve"
LOCK = dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
LINUX = {"platform_system": "Linux", "sys_platform": "linux", "python_version": "3.12", "python_full_version": "3.12.0"}
LINUX |= {"platform_machine": "x86_64", "platform_python_implementation": "CPython", "os_name": "posix", "extra": ""}
KNOWN = {"FROM", "ARG", "ENV", "LABEL", "COPY", "RUN", "USER", "WORKDIR", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL"}
KNOWN |= {"ENTRYPOINT", "CMD"}
FOR_GPUS = re.compile(r"nvidia-|cuda-|triton")  # what torch's builds for CPUs do not ask for


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"^#.*\n", "", (IMAGE / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(line.partition(" ")[0], line.partition(" ")[2].strip()) for line in lines if line.strip()]


def given(name: str) -> list[str]:
    return [rest for word, rest in instructions() if word == name]


def pins() -> dict[str, str]:
    text = "".join((IMAGE / name).read_text() for name in ("requirements.txt", "torch.txt"))
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)$", text, re.MULTILINE))


def test_every_file_that_is_copied_is_there_and_reaches_the_build() -> None:
    sources = [name for copied in given("COPY") for name in shlex.split(copied)[:-1]]
    sent = {line[1:] for line in (IMAGE / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert (IMAGE / ".dockerignore").read_text().startswith("*\n")
    assert sources and set(sources) == sent
    assert all((IMAGE / name).is_file() for name in sources)


def test_it_is_of_known_instructions_ends_unprivileged_and_runs_no_shell_at_start() -> None:
    words = [word for word, _ in instructions()]
    assert set(words) <= KNOWN
    assert re.fullmatch(r"[a-z0-9./-]+:3\.12-slim-[a-z]+", given("FROM")[0])
    assert given("USER") == ["1000:1000"]
    assert "RUN" not in words[words.index("USER") :]
    for line in (*given("ENTRYPOINT"), *given("CMD"), given("HEALTHCHECK")[0].partition("CMD ")[2]):
        assert all(isinstance(word, str) for word in json.loads(line))


def test_its_packages_are_those_that_were_tested_and_all_that_they_need() -> None:
    assert pins().items() <= LOCK.items()
    for name in pins():
        for line in importlib.metadata.requires(name) or ():
            needed = Requirement(line)
            if (needed.marker is None or needed.marker.evaluate(LINUX)) and not FOR_GPUS.match(needed.name):
                assert needed.specifier.contains(pins()[needed.name.lower().replace("_", "-")]), f"{name}: {line}"


def test_it_holds_what_the_program_imports() -> None:
    files = source.program_files(ROOT / "entrypoints", "serve.py", ships=False)
    names = {module.partition(".")[0] for name, body in files.items() for module in _imported(name, body)}
    own = {Path(name).parts[0].removesuffix(".py") for name in files}
    installed = {{"pillow": "PIL"}.get(name, name) for name in pins()}
    # images.py and custom.py name nothing else; the own network of a model may, and is told so in docs/own_network.md
    assert names - own - set(sys.stdlib_module_names) <= installed


def _imported(name: str, body: bytes) -> list[str]:
    return list(source.imported(ast.parse(body), name))


def test_its_tag_is_the_framework_that_it_holds() -> None:
    assert pins()["torch"].startswith(f"{Config().images.framework_version}.")
    assert Config().serving_image.endswith(f"darkroom-serve:{Config().images.framework_version}")


VIEW = """
mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && mount -o remount,bind,ro /
shift
exec unshare --user "$@"
"""


def unprivileged(command: list[str], model: Path) -> list[str]:
    """With a read-only root and model, as a user without rights, where namespaces are to be had; else read-only."""
    for path in (model, *model.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        subprocess.run(["unshare", "-Urm", "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return command
    return ["unshare", "-Urm", "sh", "-ec", VIEW, "sh", str(model), *command]


@pytest.fixture(scope="module")
def archive_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = test_inference.make_model(tmp_path_factory.mktemp("model"))
    packing.copy_code(folder)
    return folder


def test_its_command_serves_a_read_only_archive_without_privileges(archive_folder: Path, tmp_path: Path) -> None:
    """ENTRYPOINT and CMD, with this Python for the image's and the archive's place for /opt/ml/model."""
    words = json.loads(given("ENTRYPOINT")[0]) + json.loads(given("CMD")[0])
    assert words[0] == "python" and words[-1] == "serve"
    command = [sys.executable, *(word.replace("/opt/ml/model", str(archive_folder)) for word in words[1:])]
    healthy = [sys.executable, str(IMAGE / json.loads(given("HEALTHCHECK")[0].partition("CMD ")[2])[1].split("/")[-1])]
    variables = {"PYTHONDONTWRITEBYTECODE": "1"}
    wrapped = unprivileged(command, archive_folder)
    with test_serve.started(archive_folder, tmp_path / "log", command=wrapped, **variables) as server:
        environment = {"SAGEMAKER_BIND_TO_PORT": str(server.port)}
        assert subprocess.run(healthy, env=environment, capture_output=True).returncode == 1
        test_serve.wait_for(lambda: server.ping() == 200)
        assert subprocess.run(healthy, env=environment).returncode == 0
        status, text = server.invoke(test_serve.PICTURE)
        assert status == 200 and json.loads(text)["predictions"]
        if wrapped[0] == "unshare":
            status_of = Path(f"/proc/{server.process.pid}/status").read_text()
            assert re.search(r"^CapEff:\s0+$", status_of, re.MULTILINE)
            assert Path(f"/proc/{server.process.pid}/ns/user").readlink() != Path("/proc/self/ns/user").readlink()
    assert not list(archive_folder.rglob("*.pyc"))
