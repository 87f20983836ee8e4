"""EvaluateModel: figures against scikit-learn, the report format, and archives that are refused."""

from __future__ import annotations

import base64
import gzip
import io
import json
import math
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import archive
import evaluate
import images
import inference
import numpy as np
import payload
import pictures
import pytest
import torch
import train
from data import open_split
from evaluation import calibration, errors, metrics
from hosting import Hosting
from refusal import Refusal
from rollout import account
from rollout import golden as smoke_test
from sklearn.metrics import accuracy_score, fbeta_score, precision_score, recall_score, top_k_accuracy_score

OWN = ["--model_file", str(Path(train.__file__).parents[1] / "examples/own_network/nets/small.py")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training(tmp_path_factory.mktemp("trained"), *OWN)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of one of torchvision's."""
    return training(tmp_path_factory.mktemp("classifier"), "--model", "shufflenet_v2_x0_5")


def training(folder: Path, *network: str) -> Path:
    """A root with train, validation, test, and model/model.tar.gz of a network that learnt little."""
    root = pictures.colours(folder, {"train": 14, "validation": 4, "test": 12})
    channels = ["--train-dir", str(root / "train"), "--validation-dir", str(root / "validation")]
    outputs = ["--model-dir", str(root / "unpacked"), "--output-data-dir", str(root / "output/data")]
    assert train.main([*channels, *outputs, *network, "--epochs", "1", "--batch_size", "8", "--lr", "0.001"], {}) == 0
    (root / "model").mkdir()
    with tarfile.open(root / "model/model.tar.gz", "w:gz", compresslevel=1) as entries:
        entries.add(root / "unpacked", arcname=".")
    return root


def run(root: Path, output: Path, *more: str) -> int:
    inputs = ["--model-dir", str(root / "model"), "--test-dir", str(root / "test")]
    inputs += ["--validation-dir", str(root / "validation"), "--output-dir", str(output)]
    return evaluate.main([*inputs, "--message-file", str(output.parent / "message"), *more])


@pytest.fixture(scope="module")
def said(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What EvaluateModel writes of it, without a champion."""
    output = tmp_path_factory.mktemp("said") / "out"
    assert run(trained, output) == 0
    return output


def test_the_report_has_the_form_that_sagemaker_reads(said: Path) -> None:
    body = pictures.json_of(said / "evaluation/evaluation.json")
    quality = body["multiclass_classification_metrics"]
    assert set(quality["confusion_matrix"]) == {"blue", "green", "red"}
    assert all(set(row) == {"blue", "green", "red"} for row in quality["confusion_matrix"].values())
    names = set(quality) - {"confusion_matrix"}
    assert {"accuracy", "weighted_precision", "weighted_recall", "weighted_f1", "macro_f1"} <= names
    assert all(set(quality[name]) == {"value", "standard_deviation"} for name in names)
    assert quality["accuracy"]["standard_deviation"] == "NaN"  # fewer than 200 pictures


def test_counts_and_accuracy_agree_with_each_other(said: Path) -> None:
    body = pictures.json_of(said / "evaluation/evaluation.json")
    matrix = body["multiclass_classification_metrics"]["confusion_matrix"]
    right = sum(matrix[name][name] for name in matrix)
    own = body["darkroom"]
    assert own["count"] == 36 == sum(sum(row.values()) for row in matrix.values())
    assert own["accuracy"] == body["multiclass_classification_metrics"]["accuracy"]["value"] == right / 36
    assert own["accuracy_interval"][0] < own["accuracy"] <= own["accuracy_interval"][1]


def test_the_same_model_gives_the_same_file(trained: Path, said: Path, tmp_path: Path) -> None:
    run(trained, tmp_path / "again")
    files = [root / "evaluation/evaluation.json" for root in (said, tmp_path / "again")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_the_handlers_say_of_golden_pictures_what_the_evaluation_said(trained: Path, said: Path) -> None:
    answered_as_golden(trained, said)


def answered_as_golden(trained: Path, said: Path) -> None:
    predictor = inference.model_fn(trained / "unpacked")
    rows = pictures.json_of(said / "evaluation/golden.json")["pictures"]
    assert rows
    for row in rows:
        request = inference.input_fn(base64.b64decode(row["body"]), row["content_type"])
        body, _ = inference.output_fn(inference.predict_fn(request, predictor))
        answer = json.loads(body)["predictions"][0]
        assert answer["class"] == row["class"]
        assert answer["probability"] == pytest.approx(row["probability"], abs=1e-5)


def test_the_deployment_reads_the_golden_pictures_that_the_evaluation_wrote(said: Path) -> None:
    aws = Hosting()
    package = aws.packages[aws.register(1)]
    aws.objects[smoke_test.address(package)] = (said / "evaluation/golden.json").read_bytes()
    found = smoke_test.pictures(account.of(aws.clients()), package)
    assert found
    assert all(each.body.startswith(b"\x89PNG") and each.content_type == "image/png" for each in found)


def test_errors_come_with_their_pictures(trained: Path, said: Path) -> None:
    report = pictures.json_of(said / "report/evaluation.json")
    test = open_split(trained / "test")
    assert len(report["worst"]) == min(errors.WORST, report["wrong"]) > 0
    for error in report["worst"]:
        assert error["actual"] != error["predicted"]
        pixels = images.read(base64.b64decode(error["png"]), 16)
        index = test.names.index(error["name"])
        assert np.array_equal(pixels, test.centred(index, index + 1)[0])
        if "gradcam" in error:
            overlay = images.read(base64.b64decode(error["gradcam"]), 16)
            assert not np.array_equal(overlay, pixels)
    assert any("gradcam" in error for error in report["worst"])
    assert report["pictures_per_second"] > 0


def test_every_error_has_a_small_picture_with_its_cell_of_the_matrix(said: Path) -> None:
    report = pictures.json_of(said / "report/evaluation.json")
    body = pictures.json_of(said / "evaluation/evaluation.json")
    cells = Counter((row["actual"], row["predicted"]) for row in report["errors"]["pictures"])
    matrix = body["multiclass_classification_metrics"]["confusion_matrix"]
    wrong = {(one, other): count for one, row in matrix.items() for other, count in row.items() if one != other}
    assert cells == Counter({cell: count for cell, count in wrong.items() if count})
    assert report["errors"]["left_out"] == 0


def test_the_models_own_page_has_the_figures_and_pictures_of_the_evaluation(said: Path) -> None:
    html = (said / "report/model.html").read_text(encoding="utf-8")
    report = pictures.json_of(said / "report/evaluation.json")
    assert f"<b>{100 * report['accuracy']:.2f} %</b>" in html
    for row in [*report["errors"]["pictures"], *report["worst"]]:
        assert f'src="data:image/png;base64,{row["png"]}"' in html
    assert html.count('class="confusion"') == len({(row["actual"], row["predicted"]) for row in report["worst"]})


def answered(folder: Path, size: int, labels: list[int], said: list[int], sure: list[float]) -> errors.Answers:
    """Pictures of one class for each of `labels`, of which a model of three classes said `said`, so sure."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (len(labels), size, size, 3), dtype=np.uint8)
    test = open_split(pictures.split(folder / "test", pixels, labels, ["a", "b", "c"]))
    chances = np.full((len(labels), 3), 0.0)
    chances[np.arange(len(labels)), said] = sure
    return errors.Answers(test, chances, np.array(said))


def test_where_room_is_short_every_cell_has_a_picture_before_any_has_two(tmp_path: Path) -> None:
    said = answered(tmp_path, 8, [0, 0, 0, 1, 2, 0], [1, 1, 1, 2, 2, 2], [0.9, 0.8, 0.7, 0.4, 1.0, 0.5])
    whole = errors.by_cell(said)["errors"]["pictures"]
    assert [(row["actual"], row["predicted"], row["probability"]) for row in whole] == [
        *(("a", "b", 0.9), ("a", "c", 0.5), ("b", "c", 0.4)),
        *(("a", "b", 0.8), ("a", "b", 0.7)),
    ]
    room = sum(len(json.dumps(row)) for row in whole[:3])  # names and classes are read into the page, too
    short = errors.by_cell(said, room)["errors"]
    assert (short["pictures"], short["left_out"]) == (whole[:3], 2)
    assert errors.by_cell(said, room - 1)["errors"]["left_out"] == 3


def test_larger_pictures_are_jpegs_of_64_pixels(tmp_path: Path) -> None:
    (row,) = errors.by_cell(answered(tmp_path, 200, [0], [1], [0.9]))["errors"]["pictures"]
    assert images.dimensions(base64.b64decode(row["jpeg"])) == (errors.SMALL_SIZE,) * 2


@pytest.mark.parametrize("seed", range(5))
def test_figures_are_those_of_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels, predicted = random.integers(0, 5, 300), random.integers(0, 4, 300)
    own = metrics.scores(metrics.confusion(labels, predicted, 6))
    options = {"labels": range(6), "zero_division": 0}
    assert own["accuracy"] == pytest.approx(accuracy_score(labels, predicted))
    for average in ("weighted", "macro"):
        for name, score in (("precision", precision_score), ("recall", recall_score)):
            assert own[f"{average}_{name}"] == pytest.approx(score(labels, predicted, average=average, **options))
        for name, beta in metrics.BETAS.items():
            theirs = fbeta_score(labels, predicted, beta=beta, average=average, **options)
            assert own[f"{average}_{name}"] == pytest.approx(theirs)


def test_deviations_appear_from_200_samples_on_and_repeat() -> None:
    random = np.random.default_rng(0)
    labels, predicted = random.integers(0, 3, 400), random.integers(0, 3, 400)
    first = metrics.model_quality(labels, predicted, ("a", "b", "c"))
    assert first == metrics.model_quality(labels, predicted, ("a", "b", "c"))
    assert 0 < first["accuracy"]["standard_deviation"] < 0.05
    few = metrics.model_quality(labels[:199], predicted[:199], ("a", "b", "c"))
    assert few["macro_f1"]["standard_deviation"] == "NaN"


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (95, 100, 0.8882, 0.9785), (1, 2, 0.0945, 0.9055)],
)
def test_the_interval_is_wilsons(right: int, count: int, low: float, high: float) -> None:
    assert metrics.wilson(right, count) == pytest.approx((low, high), abs=1e-4)


def test_the_model_itself_as_champion_differs_in_nothing(trained: Path, tmp_path: Path) -> None:
    """The real handlers in the child find the very classes that evaluation finds."""
    assert run(trained, tmp_path / "out", "--champion-dir", str(trained / "model")) == 0
    differs_in_nothing(trained, tmp_path / "out")


def test_a_classifier_of_torchvision_is_its_own_champion_and_answers_its_golden_pictures(
    classifier: Path, tmp_path: Path
) -> None:
    assert run(classifier, tmp_path / "out", "--champion-dir", str(classifier / "model")) == 0
    differs_in_nothing(classifier, tmp_path / "out")
    answered_as_golden(classifier, tmp_path / "out")


def differs_in_nothing(trained: Path, said: Path) -> None:
    own = pictures.json_of(said / "evaluation/evaluation.json")["darkroom"]
    found = own["champion"]
    assert found["compared"]
    assert found["same_data"]
    assert found["archive_sha256"] == archive.sha256(trained / "model/model.tar.gz")
    assert (found["count"], found["right_here_only"], found["right_there_only"]) == (36, 0, 0)
    assert found["accuracy"] == found["champion_accuracy"] == pytest.approx(own["accuracy"], abs=1e-6)
    assert found["interval"][0] < 0 < found["interval"][1]
    assert own["behind_champion"] == 0.0


def test_the_package_of_the_champion_is_named(trained: Path, tmp_path: Path) -> None:
    arn = "arn:aws:sagemaker:us-east-1:111122223333:model-package/colours/3"
    (tmp_path / "empty").mkdir()
    assert run(trained, tmp_path / "out", "--champion-dir", str(tmp_path / "empty"), "--champion-package", arn) == 0
    for file in ("evaluation/evaluation.json", "report/evaluation.json"):
        body = pictures.json_of(tmp_path / "out" / file)
        assert body.get("darkroom", body)["champion"]["package"] == arn


def test_without_a_champion_the_gate_has_its_number_all_the_same(trained: Path, tmp_path: Path) -> None:
    assert run(trained, tmp_path / "out", "--champion-package", "none") == 0
    own = pictures.json_of(tmp_path / "out/evaluation/evaluation.json")["darkroom"]
    assert own["behind_champion"] == 0.0
    assert "champion" not in own


@pytest.mark.parametrize(("difference", "behind"), [(0.1, -0.1), (-0.25, 0.25), (0.0, 0.0)])
def test_the_gates_number_grows_with_what_is_lost(difference: float, behind: float) -> None:
    found = evaluate._behind({"compared": True, "difference": difference})
    assert (found, math.copysign(1, found)) == (behind, math.copysign(1, behind))


def test_a_champion_that_cannot_be_judged_leaves_the_evaluation_as_it_is(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "champion").mkdir()
    (tmp_path / "champion/model.tar.gz").write_bytes(b"no archive")
    assert run(trained, tmp_path / "out", "--champion-dir", str(tmp_path / "champion")) == 0
    body = pictures.json_of(tmp_path / "out/evaluation/evaluation.json")
    assert body["darkroom"]["behind_champion"] == 1.0  # more than any margin allows
    assert body["darkroom"]["champion"] == {"compared": False}  # the reason may name folders: it is in the report
    reason = pictures.json_of(tmp_path / "out/report/evaluation.json")["champion"]["reason"]
    assert "damaged" in reason
    assert "train again" not in reason


@pytest.mark.parametrize(("patience", "compared"), [(0.0, False), (120.0, True)])
def test_a_champion_may_take_longer_where_the_new_model_did(trained: Path, patience: float, compared: bool) -> None:
    args = evaluate.parser().parse_args(["--champion-dir", str(trained / "model"), "--champion-seconds", "0.001"])
    test = open_split(trained / "test")
    assert evaluate._against_champion(args, test, test.labels, patience)[0]["compared"] == compared


@pytest.mark.parametrize("bad", ["0", "-3", "nan", "inf", "soon", "1e9"])
def test_a_time_limit_that_is_none_is_refused(trained: Path, tmp_path: Path, bad: str) -> None:
    assert run(trained, tmp_path / "out", "--champion-seconds", bad) == 1
    assert f"{bad!r} is no number of seconds" in (tmp_path / "message").read_text()


def test_calibration_is_told_before_and_after_a_temperature_fitted_on_validation(trained: Path, said: Path) -> None:
    told = pictures.json_of(said / "evaluation/evaluation.json")["darkroom"]["calibration"]
    predictor = inference.model_fn(trained / "unpacked")
    validation = open_split(trained / "validation")
    logits = inference.logits(predictor, validation.centred(0, len(validation)))
    assert told["temperature"] == calibration.temperature(logits, validation.labels)
    assert {"in_the_model", "error_before", "error_after"} <= told.keys()
    report = pictures.json_of(said / "report/evaluation.json")
    assert [sum(each["count"] for each in report["reliability"][name]) for name in ("before", "after")] == [36, 36]


def test_a_temperature_in_the_model_is_taken_as_it_is(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "unpacked", tmp_path / "unpacked")
    card = json.loads((trained / "unpacked/model.json").read_text())
    (tmp_path / "unpacked/model.json").write_text(json.dumps({**card, "temperature": 1e4}))
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz", compresslevel=1) as entries:
        entries.add(tmp_path / "unpacked", arcname=".")
    assert run(trained, tmp_path / "out", "--model-dir", str(tmp_path)) == 0
    told = pictures.json_of(tmp_path / "out/evaluation/evaluation.json")["darkroom"]["calibration"]
    assert (told["temperature"], told["in_the_model"]) == (1e4, True)
    assert told["error_before"] != told["error_after"]


def test_macro_figures_are_those_of_sagemakers_part(said: Path) -> None:
    body = pictures.json_of(said / "evaluation/evaluation.json")
    for name, value in body["darkroom"]["macro"].items():
        quality = body["multiclass_classification_metrics"][f"macro_{name}"]["value"]
        assert value == pytest.approx(quality, abs=1e-6)
    assert "top_5_accuracy" not in body["darkroom"]  # of three classes it would be 1


@pytest.mark.parametrize("most", [1, 2, 5])
def test_the_share_within_the_highest_is_that_of_scikit_learn(most: int) -> None:
    random = np.random.default_rng(most)
    scores, labels = random.normal(size=(400, 8)), random.integers(0, 8, 400)
    expected = top_k_accuracy_score(labels, scores, k=most, labels=range(8))
    assert metrics.within(scores, labels, most) / 400 == pytest.approx(expected)


def test_of_equal_scores_the_first_class_is_the_answer_as_for_the_endpoint() -> None:
    assert metrics.within(np.zeros((3, 4)), np.array([0, 1, 3]), 2) == 2


def test_top_5_is_told_of_more_than_five_classes(tmp_path: Path) -> None:
    classes = [f"c{number}" for number in range(6)]
    labels = np.arange(6)
    scores = np.eye(6, dtype=np.float32)
    scores[5] = [5, 4, 3, 2, 1, 0]  # the right one comes last
    pixels = np.zeros((6, 8, 8, 3), np.uint8)
    test = open_split(pictures.split(tmp_path / "test", pixels, labels.tolist(), classes))
    figures = evaluate._figures(test, scores, metrics.model_quality(labels, scores.argmax(1), tuple(classes)))
    assert figures["top_5_accuracy"] == pytest.approx(5 / 6)


def test_outputs_that_are_no_numbers_are_refused(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "unpacked", tmp_path / "unpacked")
    state = torch.load(tmp_path / "unpacked/model.pt", weights_only=True)
    state[[*state][-1]][0] = float("nan")
    torch.save(state, tmp_path / "unpacked/model.pt")
    card = json.loads((tmp_path / "unpacked/model.json").read_text())
    card["weights"]["sha256"] = archive.sha256(tmp_path / "unpacked/model.pt")
    (tmp_path / "unpacked/model.json").write_text(json.dumps(card))
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz", compresslevel=1) as entries:
        entries.add(tmp_path / "unpacked", arcname=".")
    assert run(trained, tmp_path / "out", "--model-dir", str(tmp_path)) == 1
    assert "are not all finite: train again" in (tmp_path / "message").read_text()


def tar_of(path: Path, *entries: tuple[tarfile.TarInfo, bytes]) -> None:
    with tarfile.open(path, "w:gz") as writer:
        for entry, content in entries:
            entry.size = len(content)
            writer.addfile(entry, io.BytesIO(content))


def named(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


def pax_bomb(path: Path) -> None:
    """A header that claims, and has, hundreds of megabytes: it would be held in memory before any file is seen."""
    entry = named("x", tarfile.XHDTYPE)
    entry.size = 300 * 2**20
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(entry.tobuf(tarfile.USTAR_FORMAT))
        for _ in range(300):
            file.write(bytes(2**20))


HOSTILE: dict[str, tuple[Callable[[Path], None], str]] = {
    "parent": (lambda path: tar_of(path, (named("../evil"), b"x")), "outside the folder"),
    "deep parent": (lambda path: tar_of(path, (named("a/../../evil"), b"x")), "outside the folder"),
    "absolute": (lambda path: tar_of(path, (named("/tmp/darkroom-evil"), b"x")), "outside the folder"),
    "symbolic link": (lambda path: tar_of(path, (named("a", tarfile.SYMTYPE, "/etc"), b"")), "a link or a device"),
    "hard link": (lambda path: tar_of(path, (named("a", tarfile.LNKTYPE, "/etc/passwd"), b"")), "a link or a device"),
    "device": (lambda path: tar_of(path, (named("a", tarfile.CHRTYPE), b"")), "a link or a device"),
    "fifo": (lambda path: tar_of(path, (named("a", tarfile.FIFOTYPE), b"")), "a link or a device"),
    "bomb": (lambda path: tar_of(path, (named("zeros"), bytes(100 * 2**20))), "refused as a bomb"),
    "header bomb": (pax_bomb, "refused as a bomb"),
    "no archive": (lambda path: path.write_bytes(b"hello") and None, "damaged"),
    "plain tar": (lambda path: tarfile.open(path, "w").close(), "damaged"),
    "empty": (Path.touch, "damaged"),
    "no card": (lambda path: tar_of(path, (named("model.pt"), b"x")), "model.json: missing"),
    "bad card": (lambda path: tar_of(path, (named("model.json"), b"{}")), "'architecture' is missing"),
    "missing": (lambda path: None, "no such file"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_or_foreign_archive_is_refused(trained: Path, tmp_path: Path, case: str) -> None:
    make, words = HOSTILE[case]
    make(tmp_path / "model.tar.gz")
    assert run(trained, tmp_path / "out", "--model-dir", str(tmp_path)) == 1
    assert words in (tmp_path / "message").read_text()
    assert not (tmp_path / "out/evaluation").exists()
    assert not Path("/tmp/darkroom-evil").exists()


def test_an_archive_cut_short_is_refused(trained: Path, tmp_path: Path) -> None:
    whole = (trained / "model/model.tar.gz").read_bytes()
    (tmp_path / "model.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Refusal, match="damaged"):
        archive.unpack(tmp_path / "model.tar.gz", tmp_path / "out")


def test_a_test_split_of_other_classes_is_refused(trained: Path, tmp_path: Path) -> None:
    other = pictures.split(tmp_path / "test", np.zeros((4, 16, 16, 3), np.uint8), [0, 1, 0, 1], ["a", "b"])
    assert run(trained, tmp_path / "out", "--test-dir", str(other)) == 1
    assert "classes are not those of the model" in (tmp_path / "message").read_text()


def test_pictures_of_another_size_are_refused(trained: Path, tmp_path: Path) -> None:
    other = pictures.split(tmp_path / "test", np.zeros((3, 8, 8, 3), np.uint8), [0, 1, 2], ["blue", "green", "red"])
    assert run(trained, tmp_path / "out", "--test-dir", str(other)) == 1
    assert "pictures of 8 px for a model of 16 px" in (tmp_path / "message").read_text()


@pytest.mark.parametrize("changed", [{"stored_size": 18, "square": "pad"}, {"stored_size": 20}])
def test_squares_of_another_making_are_refused(trained: Path, tmp_path: Path, changed: dict[str, object]) -> None:
    side = int(str(changed["stored_size"]))
    classes = ["blue", "green", "red"]
    options = {"image_size": 16, **changed}
    other = pictures.split(tmp_path / "test", np.zeros((3, side, side, 3), np.uint8), [0, 1, 2], classes, **options)
    assert run(trained, tmp_path / "out", "--test-dir", str(other)) == 1
    assert f"squares of {side} px by {changed.get('square', 'crop')}" in (tmp_path / "message").read_text()


def test_the_model_is_judged_as_the_endpoint_would_answer(trained: Path) -> None:
    """A file of the test split, sent to the handlers, has the very probabilities that evaluation had."""
    predictor = inference.model_fn(trained / "unpacked")
    content = pictures.encoded(pictures.noisy((60, 160, 80), (41, 53), 5), "JPEG")
    stored = images.read(content, 18)[None]
    split = pictures.split(trained / "photo", stored, [1], ["blue", "green", "red"], image_size=16)
    judged = inference.chances(evaluate._logits(predictor, open_split(split)), predictor.temperature)
    answered = inference.probabilities(predictor, payload.decode(content, predictor.frame))
    assert np.array_equal(judged, answered)


def test_weights_that_are_not_the_cards_are_refused(trained: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz", compresslevel=1) as entries:
        entries.add(trained / "unpacked/model.json", "model.json")
        content = (trained / "unpacked/model.json").read_bytes()
        entry = named("model.pt")
        entry.size = len(content)
        entries.addfile(entry, io.BytesIO(content))
    assert run(trained, tmp_path / "out", "--model-dir", str(tmp_path)) == 1
    assert "not the weights that the card describes" in (tmp_path / "message").read_text()
