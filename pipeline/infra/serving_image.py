"""The build of our own serving image as a stack of its own: the first one has no room left for it in a call.

A CodeBuild project without a source: its buildspec writes the files of containers/serve and the script that CI runs,
as they were when the template was rendered, and runs that. https://docs.aws.amazon.com/codebuild/latest/userguide/no-source.html
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

from pipeline.config import Config
from pipeline.errors import DarkroomError, StorageError
from pipeline.iam import trust
from pipeline.iam.building import building, place_of
from pipeline.infra import parameters
from pipeline.infra.functions import log_group
from pipeline.infra.intrinsics import Json, arn, either, policy, ref
from pipeline.infra.setting import Setting
from pipeline.infra.yaml_text import dumped

SCRIPT, CONTEXT = ".ci/image", "containers/serve"
DOCKERFILE, IGNORED = "Dockerfile", ".dockerignore"
END = "END-OF-FILE"
MINUTES = 30  # most of it fetches torch
# https://docs.aws.amazon.com/codebuild/latest/userguide/build-env-ref-available.html: Amazon Linux 2023
BUILDER = "aws/codebuild/amazonlinux-x86_64-standard:5.0"
HEAD = "# Rendered by `darkroom infra --serving-image`. Do not edit: change containers/serve, and render it again.\n"
INDEX = "TorchIndex"
_SHARED = ("LogRetentionDays", "LogsKeyArn", "PermissionsBoundaryArn")  # with the stack of the account


def files(root: Path) -> dict[str, str]:
    """Path below `root` → text, of what the build needs and of nothing that may lie beside it. Raises DarkroomError
    where it is not there, or not ASCII: what else a template holds arrives as ? in some of the services behind
    CloudFormation.
    """
    context = root / CONTEXT
    try:
        needed = _copied((context / DOCKERFILE).read_text(encoding="ascii"))
        paths = [root / SCRIPT, *sorted(context / each for each in {DOCKERFILE, IGNORED, *needed})]
        return {str(each.relative_to(root)): each.read_text(encoding="ascii") for each in paths}
    except OSError as exc:
        raise StorageError(f"cannot read {exc.filename}: {exc.strerror}", "a clone of darkroom has it") from exc
    except UnicodeDecodeError as exc:
        raise DarkroomError(f"a file of {context} holds {exc.object[exc.start :][:1]!r}", "write it in ASCII") from exc


def _copied(dockerfile: str) -> list[str]:
    """What it takes out of its folder, which it has to name: a pattern is taken for a name, and is not there."""
    lines = [line.split() for line in dockerfile.replace("\\\n", " ").splitlines()]
    copying = [line for line in lines if "".join(line[:1]).upper() in ("COPY", "ADD")]
    copying = [line for line in copying if not any(word.startswith("--from=") for word in line)]  # another stage's
    return [word for line in copying for word in line[1:-1] if not word.startswith("--")]


def project_of(repository: str) -> str:
    """CodeBuild's names have neither the slashes nor the dots that a repository's may have."""
    return repository.replace("/", "-").replace(".", "-")


def as_yaml(about: Setting, sources: dict[str, str]) -> str:
    """For people: its files are there to be read."""
    return HEAD + dumped(template(about, sources))


def as_json(about: Setting, sources: dict[str, str]) -> str:
    """Without blanks."""
    return json.dumps(template(about, sources), separators=(",", ":")) + "\n"


def template(about: Setting, sources: dict[str, str]) -> Json:
    """Raises DarkroomError for an image that this account does not build."""
    repository, tag = _image(about)
    project = project_of(repository)
    resources = {
        "BuildLogs": log_group(f"/aws/codebuild/{project}"),
        "BuildRole": _role(about.config, project),
        "Build": _project(project, buildspec(sources, f"{repository}:{tag}")),
    }
    needed = parameters.needed_by(resources)
    known = {name: each for name, each in parameters.parameters(about.config).items() if name in _SHARED}
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"darkroom: builds {repository}:{tag} in {about.config.pipeline.region}",
        "Parameters": {INDEX: _index(), **known},
        "Conditions": {name: each for name, each in parameters.conditions().items() if name in needed},
        "Resources": resources,
        "Outputs": {"Project": {"Value": ref("Build")}, "Image": {"Value": about.config.serving_image}},
    }


def buildspec(sources: dict[str, str], image: str) -> str:
    """YAML, each file in plain text, for whoever reads the template. `image`: NAME:TAG."""
    written = [f"cat > {path} <<'{END}'\n{_whole(path, text)}{END}" for path, text in sources.items()]
    commands = [f"mkdir -p {Path(SCRIPT).parent} {CONTEXT}", *written, f"bash {SCRIPT} {image}"]
    listed = "".join(f"      - |\n{textwrap.indent(each, ' ' * 8)}\n" for each in commands)
    return f"version: 0.2\nphases:\n  build:\n    on-failure: ABORT\n    commands:\n{listed}"


def _whole(path: str, text: str) -> str:
    if END in text or not text.endswith("\n"):
        raise DarkroomError(f"{path} cannot stand in a script: it holds {END}, or its last line has no end", "mend it")
    return text


def _image(about: Setting) -> tuple[str, str]:
    """Repository and tag, which lie in this account's registry."""
    image = about.config.serving_image
    repository, tag = about.repository, image.rpartition("/")[2].partition(":")[2]
    if repository is None or "@" in image or not tag:
        raise DarkroomError(
            f"{image} is not built here: it is another registry's, or named by its digest",
            "serving.server: darkroom, and no deploy.image, or one such as <registry>/darkroom-serve:2.12-2",
        )
    return repository, tag


def _role(config: Config, project: str) -> Json:
    """`darkroom iam` does not print it: this stack alone makes it, under a name of CloudFormation's."""
    statements = building(config, f"/aws/codebuild/{project}")
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "Description": f"{config.pipeline.name}: the build of the serving image",
            "AssumeRolePolicyDocument": trust.of_codebuild(place_of(config), project),
            "Policies": [{"PolicyName": "build", "PolicyDocument": policy(*(each.document() for each in statements))}],
            "PermissionsBoundary": either("HasBoundary", ref("PermissionsBoundaryArn")),
        },
    }


def _project(name: str, spec: str) -> Json:
    """Privileged, since it builds an image; it runs nothing but what stands in `spec`, one build at a time."""
    return {
        "Type": "AWS::CodeBuild::Project",
        "Properties": {
            "Name": name,
            "Description": "Builds and pushes the serving image of darkroom, unless its tag is there",
            "ServiceRole": arn("BuildRole"),
            "Source": {"Type": "NO_SOURCE", "BuildSpec": spec},
            "Artifacts": {"Type": "NO_ARTIFACTS"},
            "Environment": {
                "Type": "LINUX_CONTAINER",
                "ComputeType": "BUILD_GENERAL1_SMALL",
                "Image": BUILDER,
                "PrivilegedMode": True,
                "EnvironmentVariables": [{"Name": "TORCH_INDEX", "Value": ref(INDEX)}],
            },
            "TimeoutInMinutes": MINUTES,
            "ConcurrentBuildLimit": 1,
            "Visibility": "PRIVATE",
            "LogsConfig": {"CloudWatchLogs": {"Status": "ENABLED", "GroupName": ref("BuildLogs")}},
        },
    }


def _index() -> Json:
    return {
        "Type": "String",
        "AllowedPattern": r"^https://[^\s@]+$",
        "Description": "index of PyTorch's builds for CPUs, of its installation page, or a mirror; without a password",
    }
