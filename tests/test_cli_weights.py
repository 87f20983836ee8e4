"""`darkroom weights`: from a server on loopback, which stands where torchvision's files lie, or from nowhere."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from torchvision.models import get_model

from pipeline import pretrained
from pipeline.__main__ import main

NAME = "shufflenet_v2_x0_5"  # the smallest classifier
Captured = pytest.CaptureFixture[str]


def saved(state: Any) -> bytes:
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """As old files are: without the counters that batch norm has today."""
    torch.manual_seed(0)
    known = get_model(NAME).state_dict()
    return {key: value for key, value in known.items() if not key.endswith("num_batches_tracked")}


@contextmanager
def served(body: bytes, name: str = "weights.pth", announced: int = 0, status: int = 200) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == f"/{name}" else 404)
            self.send_header("Content-Length", str(announced or len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/{name}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pipeline.yaml").write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("DARKROOM_HOME", raising=False)
    return tmp_path


def refused(capsys: Captured, *words: str) -> str:
    assert main(["weights", *words]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "\nhint:  " in captured.err
    return captured.err


def told(capsys: Captured, project: Path, url: str) -> str:
    """What the child says, in this process: each process of its own would import torch for two seconds."""
    assert pretrained.main([NAME, str(project / ".darkroom/weights/x.pth"), url]) == pretrained.EXPECTED
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["hint"]
    return str(report["message"])


def test_weights_become_a_plain_complete_state_dict_and_a_line_for_the_configuration(
    project: Path, capsys: Captured, state: dict[str, torch.Tensor]
) -> None:
    with served(saved(state)) as url:
        assert main(["weights", NAME, "--url", url]) == 0
    captured = capsys.readouterr()
    assert captured.out == f".darkroom/weights/{NAME}.pth\n"
    path = project / captured.out.strip()
    assert f"SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}" in captured.err
    assert f"model:\n  name: {NAME}\n  weights: .darkroom/weights/{NAME}.pth\n" in captured.err
    kept = torch.load(path, weights_only=True)
    get_model(NAME).load_state_dict(kept)
    assert all(torch.equal(kept[key], value) for key, value in state.items())
    assert [each.name for each in path.parent.iterdir()] == [path.name]

    assert main(["weights", NAME]) == 0  # there already: no network is asked
    assert capsys.readouterr().out == captured.out

    (project / "examples").mkdir()
    (project / "examples" / "other.yaml").write_text("{}")
    assert main(["weights", NAME, "-c", "examples/other.yaml"]) == 0
    assert f"  weights: ../.darkroom/weights/{NAME}.pth\n" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_weights_with_auxiliary_outputs_are_kept_whole_and_silently(project: Path, name: str) -> None:
    """Published files hold them; train.py leaves them out."""
    published = get_model(name, init_weights=False).state_dict()
    target = project / "w.pth"
    with served(saved(published)) as url:
        assert pretrained.main([name, str(target), url]) == 0
    assert torch.load(target, weights_only=True).keys() == published.keys()


def test_densenets_old_names_become_those_of_today(project: Path, capsys: Captured) -> None:
    network = get_model("densenet121").state_dict()
    old = {key.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): value for key, value in network.items()}
    with served(saved(old)) as url:
        assert pretrained.main(["densenet121", str(project / "dense.pth"), url]) == 0
    assert torch.load("dense.pth", weights_only=True).keys() == network.keys()


def test_a_file_that_is_there_is_not_written_over(project: Path, capsys: Captured) -> None:
    (project / "mine.pth").write_text("mine")
    assert "mine.pth is there already" in refused(capsys, NAME, "-o", "mine.pth")
    assert (project / "mine.pth").read_text() == "mine"


def test_without_a_network_one_line_says_so_and_nothing_is_left(project: Path, capsys: Captured) -> None:
    """.invalid has no address anywhere."""
    err = refused(capsys, NAME, "--url", "https://weights.invalid/x.pth")
    assert "error: cannot reach https://weights.invalid/x.pth: " in err
    assert "name that file in model.weights" in err
    assert [path.name for path in project.iterdir()] == ["pipeline.yaml"]


def test_a_name_that_torchvision_does_not_know_is_told_with_its_neighbours(project: Path, capsys: Captured) -> None:
    err = refused(capsys, "../resnet81")
    assert "'../resnet81' is not a classifier of torchvision that can be trained\nhint:  there is resnet18" in err
    assert [path.name for path in project.iterdir()] == ["pipeline.yaml"]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("file:///etc/passwd", "'file:///etc/passwd' is not an http or https address"),
        ("http://[", "cannot reach http://["),
        ("http://127.0.0.1:1/x.pth", "cannot reach http://127.0.0.1:1/x.pth: [Errno "),
    ],
)
def test_an_address_that_leads_nowhere_is_told(project: Path, capsys: Captured, url: str, says: str) -> None:
    assert says in told(capsys, project, url)
    assert [path.name for path in project.iterdir()] == ["pipeline.yaml"]


def test_vit_h_14_starts_from_weights_for_the_size_that_it_is_built_for() -> None:
    assert pretrained.address("vit_h_14").endswith("vit_h_14_lc_swag-c1eb923e.pth")
    assert pretrained.address("resnet18").endswith("resnet18-f37072fd.pth")


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("a file of weights ran code",)


@pytest.mark.parametrize(
    ("body", "name", "says"),
    [
        (b"<html>", "x.pth", "is no file of weights"),
        (b"", "x.pth", "is no file of weights"),
        (saved({"fc.weight": Hostile()}), "x.pth", "is no file of weights"),
        (saved([1, 2]), "x.pth", "holds no plain state dict"),
        (saved({"fc.weight": torch.zeros(3)}), "x.pth", f"not the weights of {NAME}: size mismatch for fc.weight"),
        (saved({"layer1.weight": torch.zeros(3)}), "x.pth", f"not the weights of {NAME}; these layers differ: conv1"),
        (saved({"fc.bias": torch.zeros(1000)}), "x-0a1b2c3d.pth", "not 0a1b2c3d… as its name says"),
    ],
)
def test_what_is_not_that_networks_weights_is_refused(
    project: Path, capsys: Captured, body: bytes, name: str, says: str
) -> None:
    with served(body, name) as url:
        assert pretrained.main([NAME, str(project / ".darkroom/weights/x.pth"), url]) == pretrained.EXPECTED
    out = capsys.readouterr().out
    assert says in json.loads(out.splitlines()[-1])["message"]
    assert "ran code" not in out
    assert list(project.glob(".darkroom/weights/*")) == []


def test_a_download_that_ends_early_is_told(project: Path, capsys: Captured) -> None:
    with served(b"half", announced=8) as url:
        assert f"{url} ended after 4 of 8 bytes" in told(capsys, project, url)


def test_a_server_without_the_file_is_quoted(project: Path, capsys: Captured) -> None:
    with served(b"", status=403) as url:
        assert f"{url}: the server answers 403 Forbidden" in told(capsys, project, url)
