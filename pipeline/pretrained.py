"""Fetches torchvision's ImageNet weights in a child process, and keeps them as a plain state dict."""

from __future__ import annotations

import json
import os
import sys

from pipeline.errors import DarkroomError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

EXPECTED = 3  # exit code of the child for an error that its last line of stdout describes
PATIENCE_S = 30  # without a byte from the server
LARGEST = 8 << 30
_CHUNK = 1 << 20
_HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_ELSEWHERE = "fetch {url} on a machine that reaches it, and name that file in model.weights; --url names a mirror"


def fetch(name: str, target: str, url: str = "") -> None:
    """Writes the weights of torchvision's classifier `name` to the file `target`, from `url` if not from torchvision's.

    Raises DarkroomError for an unknown name, without network, and for what is not that network's weights.
    """
    import subprocess

    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (_HOME, os.environ.get("PYTHONPATH"))))}
    command = [sys.executable, "-P", "-m", "pipeline.pretrained", name, target, url]
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if done.returncode == EXPECTED:
        report = json.loads(done.stdout.splitlines()[-1])
        raise DarkroomError(report["message"], report["hint"])
    if done.returncode:
        raise DarkroomError(f"fetching the weights of {name} ended with exit code {done.returncode}", "run it again")


def main(arguments: list[str]) -> int:
    """The child: `arguments` = [name, file to write, address or nothing]."""
    name, target, url = arguments
    try:
        _fetch(name, target, url)
    except DarkroomError as exc:
        print(json.dumps({"message": exc.message, "hint": exc.hint}))
        return EXPECTED
    return 0


def _fetch(name: str, target: str, url: str) -> None:
    import tempfile

    url = url or address(name)
    with _opened(url) as answer:
        try:
            # Only now: a name that does not exist, or no network, leaves no folder behind.
            os.makedirs(os.path.dirname(target), exist_ok=True)
            # Beside the target: a rename within one file system is all or nothing.
            with tempfile.TemporaryDirectory(prefix=".fetching-", dir=os.path.dirname(target)) as aside:
                raw, made = os.path.join(aside, "raw"), os.path.join(aside, "made")
                _download(answer, url, raw)
                _plain(name, raw, made, url)
                os.chmod(made, 0o644)
                os.replace(made, target)
        except OSError as exc:
            raise DarkroomError(f"cannot write {target}: {exc.strerror or exc}", "choose another file with -o") from exc


def address(name: str) -> str:
    """Of the weights that torchvision holds to be best, as far as the network takes them. Raises DarkroomError."""
    import difflib

    from torchvision.models import get_model_weights  # type: ignore[import-untyped]

    from pipeline.config.architectures import NAMES

    if name not in NAMES:
        near = ", ".join(difflib.get_close_matches(name, NAMES, n=3, cutoff=0.5)) or "resnet18"
        raise DarkroomError(f"{name!r} is not a classifier of torchvision that can be trained", f"there is {near}")
    known = get_model_weights(name)
    # ViT-H's best weights are for 518 px, and a ViT's fit one size only.
    fitting = [each for each in known if max(each.meta["min_size"]) <= 224] if name.startswith("vit_") else []
    chosen = known.DEFAULT if known.DEFAULT in fitting or not fitting else fitting[-1]
    return str(chosen.url)


def _opened(url: str) -> Any:
    import http.client
    import urllib.error
    import urllib.request

    hint = _ELSEWHERE.format(url=url)
    if not url.startswith(("https://", "http://")):
        raise DarkroomError(f"{url!r} is not an http or https address", "--url https://…/weights.pth")
    print(f"fetching {url}", file=sys.stderr, flush=True)
    try:
        return urllib.request.urlopen(url, timeout=PATIENCE_S)
    except urllib.error.HTTPError as exc:
        raise DarkroomError(f"{url}: the server answers {exc.code} {exc.reason}", hint) from exc
    except (OSError, ValueError, http.client.HTTPException) as exc:  # URLError is an OSError
        raise DarkroomError(f"cannot reach {url}: {getattr(exc, 'reason', None) or exc or 'no answer'}", hint) from exc


def _download(answer: Any, url: str, path: str) -> None:
    """Raises DarkroomError; the digits at the end of a torchvision file's name begin its SHA-256."""
    import hashlib
    import re

    total, size = hashlib.sha256(), 0
    with open(path, "wb") as file:
        while chunk := _next(answer, url):
            size += len(chunk)
            if size > LARGEST:
                raise DarkroomError(
                    f"{url} has more than {LARGEST >> 30} GiB: no weights of torchvision", "another --url"
                )
            total.update(chunk)
            file.write(chunk)
    announced = answer.headers.get("Content-Length") or ""
    if announced.isdecimal() and size != int(announced):
        raise DarkroomError(f"{url} ended after {size:,} of {int(announced):,} bytes", "run the command again")
    named = re.search(r"-([0-9a-f]{8,64})\.pth$", url)
    if named and not total.hexdigest().startswith(named[1]):
        says = f"{url} arrived with the SHA-256 {total.hexdigest()[:16]}…, not {named[1]}… as its name says"
        raise DarkroomError(
            says, "it was damaged or exchanged on its way: run the command again, or name another --url"
        )


def _next(answer: Any, url: str) -> bytes:
    import http.client

    try:
        return bytes(answer.read(_CHUNK))
    except (OSError, http.client.HTTPException) as exc:  # a connection that breaks is no fault of our disk
        raise DarkroomError(f"{url} broke off: {exc or type(exc).__name__}", "run the command again") from exc


def _plain(name: str, raw: str, made: str, url: str) -> None:
    """Old files lack counters of batch norm and spell DenseNet's layers otherwise: ours are as the network has them."""
    import pickle

    import torch
    from torchvision.models import get_model

    try:
        state = torch.load(raw, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as exc:
        text = str(exc).splitlines() or [type(exc).__name__]
        raise DarkroomError(
            f"{url} is no file of weights: {text[0]}", "name torchvision's own file with --url"
        ) from exc
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise DarkroomError(f"{url} holds no plain state dict", "name torchvision's own file with --url")
    unwarned = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with torch.device("meta"):
        network = get_model(name, **unwarned)
    _load(network, state, f"{url}: not the weights of {name}")
    complete = {key: torch.zeros_like(value, device="cpu") if value.is_meta else value.contiguous()
                for key, value in network.state_dict().items()}  # fmt: skip
    torch.save(complete, made)


def _load(network: Any, state: dict[str, Any], says: str) -> None:
    import re

    for key in list(state):
        if ".denselayer" in key:
            state[re.sub(r"\.(norm|conv)\.([12])\.", r".\1\2.", key)] = state.pop(key)
    try:
        missing, unknown = network.load_state_dict(state, strict=False, assign=True)
    except RuntimeError as exc:  # of another shape: the first line only says that there are some
        raise DarkroomError(f"{says}: {str(exc).splitlines()[1].strip()}", "name the file of that network") from exc
    different = [key for key in missing if not key.endswith("num_batches_tracked")] + list(unknown)
    if different:
        raise DarkroomError(f"{says}; these layers differ: {', '.join(different[:5])}", "name the file of that network")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
