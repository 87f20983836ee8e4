"""A validation that is remembered: a definition that was found clean is never checked twice by the same validator."""

from __future__ import annotations

import json
import os
import sys

from pipeline.digest import sha256_hex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.validate.finding import Finding

RULES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "validate")
SERVICE_MODEL = os.path.join("botocore", "data", "sagemaker", "2017-07-24", "service-2.json")


def check(definition_text: str | bytes, home: str) -> list[Finding]:
    """All findings. Only a verdict without errors is remembered, in `<home>/verdicts/`; its warnings are told again."""
    text = definition_text.encode() if isinstance(definition_text, str) else definition_text
    path = os.path.join(home, "verdicts", sha256_hex(text + b"\0" + _identity()))
    remembered = _recall(path)
    if remembered is not None:
        return remembered
    findings = _validate(text)
    if all(finding.severity != "error" for finding in findings):
        _remember(path, findings)
    return findings


def refuse(definition_text: str | bytes, home: str, subject: str = "") -> None:
    """Raises DefinitionError with every error at once; warnings pass. `subject`: what `darkroom validate` takes."""
    errors = [finding for finding in check(definition_text, home) if finding.severity == "error"]
    if errors:
        from pipeline.errors import DefinitionError

        count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
        lines = "".join(f"\n  {finding}" for finding in errors)
        raise DefinitionError(f"the definition has {count}:{lines}", f"darkroom validate {subject}".rstrip())


def _validate(text: bytes) -> list[Finding]:
    from pipeline.validate import Finding, validate

    try:
        document = json.loads(text)
    except RecursionError:
        return [Finding("", "$", "the document nests too deep to be read", "flatten it")]
    except ValueError as exc:
        return [Finding("", "$", f"the definition is not JSON: {exc}", "darkroom compile -o definition.json")]
    return validate(document)


def _identity() -> bytes:
    """Changes whenever the rules or botocore's model may have: names, sizes and times of their files."""
    parts = []
    with os.scandir(RULES) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                status = entry.stat()
                parts.append(f"{entry.name} {status.st_size} {status.st_mtime_ns}")
    parts.sort()
    parts.extend(_model_stamps())
    return "\n".join(parts).encode()


def _model_stamps() -> Iterator[str]:
    """Where an import of botocore would find the model, without the import (110 ms)."""
    for folder in sys.path:
        for suffix in (".gz", ""):
            try:
                status = os.stat(os.path.join(folder or ".", SERVICE_MODEL + suffix))
            except OSError:
                continue
            yield f"model {status.st_size} {status.st_mtime_ns}"
            return


def _recall(path: str) -> list[Finding] | None:
    try:
        with open(path, "rb") as file:
            body = file.read()
    except OSError:
        return None
    if body == b"[]":  # clean without warnings: the one that the start of a run meets, and it needs no further import
        return []
    from pipeline.validate.finding import Finding

    try:
        return [Finding(**item) for item in json.loads(body)]
    except (ValueError, TypeError):
        return None  # torn by a full disk or a kill: check again


def _remember(path: str, findings: list[Finding]) -> None:
    """Written aside and renamed, so that two runs at once never read half a verdict. Not remembering is no error."""
    aside = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(aside, "w", encoding="utf-8") as file:
            json.dump([finding.as_dict() for finding in findings], file)
        os.replace(aside, path)
    except OSError:
        return
