"""TrainModel: it learns, repeats itself, logs what the metric definitions match, and refuses what cannot be trained."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import archive
import archives
import custom
import evaluate
import model
import numpy as np
import pictures
import prepare
import pytest
import shapes
import torch
import train
from data import Split, open_split
from evaluation import calibration
from refusal import Refusal
from torch.nn import functional
from training import convolutions, hyperparameters, packing, precision, validating
from training.batches import Batches

from pipeline import source

pytestmark = pytest.mark.slow
ENTRYPOINTS = Path(train.__file__).parent
SHIPPED = ENTRYPOINTS.parent / "examples/own_network/nets/small.py"
OWN = ["--model_file", str(SHIPPED)]  # 25,000 weights where ResNet18 has 11 million: for what is true of any network
LINE = re.compile(r"epoch=\d+ train_loss=[0-9.]+ validation_loss=[0-9.]+ validation_accuracy=[0-9.]+")


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures.colours(tmp_path_factory.mktemp("colours"), {"train": 14, "validation": 3})


@pytest.fixture(scope="module")
def plain(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One epoch with default options."""
    root = tmp_path_factory.mktemp("plain")
    assert run(colours, root, *OWN) == 0
    return root


def arguments(splits: Path, root: Path, *more: str) -> list[str]:
    channels = ["--train-dir", str(splits / "train"), "--validation-dir", str(splits / "validation")]
    return [*channels, "--model-dir", str(root / "model"), "--output-data-dir", str(root / "output/data"), *more]


def run(splits: Path, root: Path, *more: str) -> int:
    return train.main(arguments(splits, root, "--epochs", "1", "--batch_size", "16", *more), {})


def failure(root: Path) -> str:
    return (root / "output/failure").read_text()


def test_digits_are_learnt_and_the_archive_knows_them(tmp_path: Path) -> None:
    """The whole way, 0.97 of the test split, judged by EvaluateModel; `make run` holds the shipped network to 0.95."""
    prepare.main(["--kind", "digits", "--image-size", "16", "--output-dir", str(tmp_path)])
    more = ["--epochs", "4", "--lr", "0.1", "--augment", "shift", "--seed", "1"]
    assert run(tmp_path, tmp_path, *OWN, *more) == 0
    with tarfile.open(tmp_path / "model/model.tar.gz", "w:gz", compresslevel=1) as entries:
        for name in ("model.json", "model.pt", "code"):
            entries.add(tmp_path / "model" / name, name)
    inputs = [f"--{name}-dir={tmp_path / name}" for name in ("model", "test", "validation")]
    assert evaluate.main([*inputs, "--output-dir", str(tmp_path / "judged")]) == 0
    body = pictures.json_of(tmp_path / "judged/evaluation/evaluation.json")
    assert body["multiclass_classification_metrics"]["accuracy"]["value"] >= 0.97


def test_coloured_shapes_from_a_cifar_archive_are_learnt_in_three_epochs(tmp_path: Path) -> None:
    """0.95 of CIFAR's test batch, which no training has seen."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/cifar-10-python.tar.gz").write_bytes(archives.tarred(shapes.cifar(240)))
    inputs = ["--input-dir", str(tmp_path / "in"), "--message-file", str(tmp_path / "message")]
    assert prepare.main(["--kind", "cifar10", "--image-size", "32", *inputs, "--output-dir", str(tmp_path)]) == 0
    more = ["--validation-dir", str(tmp_path / "test"), "--epochs", "3", "--lr", "0.1"]
    assert run(tmp_path, tmp_path, *OWN, *more) == 0
    lines = (tmp_path / "output/data/metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["validation_accuracy"] >= 0.95


def test_shuffled_labels_stay_near_chance(tmp_path: Path) -> None:
    """Shapes that could be learnt, were their labels not anybody's."""
    random = np.random.default_rng(0)
    pixels = np.stack([shapes.drawn(index % 9, np.random.default_rng(index)) for index in range(450)])
    labels = [int(label) for label in random.permutation(np.arange(450) % 9)]
    for name, part in (("train", slice(0, 225)), ("validation", slice(225, 450))):
        pictures.split(tmp_path / name, pixels[part], labels[part], shapes.CLASSES)
    assert run(tmp_path, tmp_path, *OWN, "--epochs", "3", "--lr", "0.1") == 0
    lines = (tmp_path / "output/data/metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["validation_accuracy"] < 0.22  # of 225 pictures, 5 deviations above 1/9


def test_every_epoch_is_one_line_that_the_metric_definitions_match(
    colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(colours, tmp_path, *OWN, "--epochs", "2")
    lines = capsys.readouterr().out.splitlines()
    assert [bool(LINE.fullmatch(line)) for line in lines] == [True, True]
    rows = [json.loads(line) for line in (tmp_path / "output/data/metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert f"validation_loss={rows[1]['validation_loss']:.4f}" in lines[1]


def test_the_same_seed_gives_the_same_weights_and_another_one_others(colours: Path, tmp_path: Path) -> None:
    digests = []
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        run(colours, tmp_path / name, *OWN, "--seed", seed, "--augment", "shift")
        digests.append(archive.read_card(tmp_path / name / "model")["weights"]["sha256"])
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("augment", ["none", "flip"])
def test_default_options_do_these_steps_and_no_others_bit_for_bit(colours: Path, tmp_path: Path, augment: str) -> None:
    assert run(colours, tmp_path, "--epochs", "2", "--lr", "0.02", "--augment", augment, "--seed", "5") == 0
    trained = torch.load(tmp_path / "model/model.pt", weights_only=True)
    for name, tensor in plain_training(open_split(colours / "train"), augment).items():
        assert torch.equal(trained[name], tensor), name


def plain_training(split: Split, augment: str) -> dict[str, torch.Tensor]:
    """Two epochs in batches of 16 at lr 0.02 from seed 5, written as plainly as can be."""
    torch.manual_seed(5)
    random = torch.Generator().manual_seed(5)
    network = model.build("resnet18", 3).to(memory_format=torch.channels_last).train()
    convolutions.prepare(network, torch.device("cpu"))
    sgd = torch.optim.SGD(network.parameters(), lr=1, momentum=0.9, weight_decay=0.0005, nesterov=True, fused=True)
    mean, deviation = (torch.tensor(split.manifest[name]) for name in ("mean", "deviation"))
    steps = len(split) // 16
    for step in range(2 * steps):
        if step % steps == 0:
            order, crops = torch.randperm(len(split), generator=random), []
        while augment == "flip" and len(crops) < min(steps, step % steps + 2):  # one batch is read ahead
            crops.append(torch.randint(0, 3, (2, 16), generator=random).tolist())
        top, left = crops[step % steps] if augment == "flip" else ([1] * 16, [1] * 16)
        chosen = order[step % steps * 16 :][:16].tolist()
        windows = [split.images[c, y : y + 16, x : x + 16] for c, y, x in zip(chosen, top, left, strict=True)]
        shown = torch.from_numpy(np.stack(windows)).float().sub(mean * 255).mul((deviation * 255).reciprocal())
        if augment == "flip":
            mirrored = torch.rand(16, generator=random) < 0.5
            shown = torch.where(mirrored[:, None, None, None], shown.flip(2), shown)
        done = step / (2 * steps)
        rise, fall = 0.1 + 0.9 * done / 0.25, 0.5 + 0.5 * math.cos(math.pi * (done - 0.25) / 0.75)
        sgd.param_groups[0]["lr"] = 0.02 * (rise if done < 0.25 else fall)
        labels = torch.from_numpy(split.labels[chosen])
        functional.cross_entropy(network(shown.permute(0, 3, 1, 2)), labels, label_smoothing=0.1).backward()
        sgd.step()
        sgd.zero_grad()
    return network.state_dict()


def test_the_archive_describes_itself(colours: Path, tmp_path: Path) -> None:
    run(colours, tmp_path, "--lr", "0.01")
    card = archive.read_card(tmp_path / "model")
    assert card["classes"] == ["blue", "green", "red"]
    assert card["architecture"] == {"name": "resnet18", "stem": "torchvision", "num_classes": 3}
    manifest = open_split(colours / "train").manifest
    assert card["preprocessing"] == {
        key: manifest[key] for key in ("image_size", "stored_size", "square", "mean", "deviation")
    }
    assert card["data"]["digest"] == open_split(colours / "train").manifest["source"]["digest"]
    assert card["hyperparameters"]["lr"] == 0.01
    network = model.build("resnet18", 3)
    model.load_weights(network, tmp_path / "model" / card["weights"]["file"])


def test_the_shipped_files_import_nothing_that_stays_behind() -> None:
    for program in ("serve.py", "inference.py", "deployment.py"):
        assert set(source.program_files(ENTRYPOINTS, program, ships=False)) <= set(packing.SHIPS)


def test_the_archive_holds_the_serving_code_and_no_links(colours: Path, tmp_path: Path) -> None:
    run(colours, tmp_path, "--model", "shufflenet_v2_x0_5")
    code = tmp_path / "model/code"
    assert sorted(path.relative_to(code).as_posix() for path in code.rglob("*.py")) == sorted(
        {*packing.SHIPS} - {packing.RAY_MODULE}
    )
    assert {path.name for path in (tmp_path / "model").iterdir()} == {
        *("code", "config.yaml", "deployment.py", "model.json", "model.pt")
    }
    assert not any(path.is_symlink() for path in (tmp_path / "model").rglob("*"))


def test_the_report_accounts_for_the_whole_time(plain: Path) -> None:
    seconds = pictures.json_of(plain / "output/data/report/training.json")["seconds"]
    assert math.isclose(sum(seconds.values()) - seconds["total"], seconds["total"], abs_tol=0.01)


EACH_OPTION = [["--optimizer", "adamw", "--lr", "0.001"], ["--momentum", "0"]]
EACH_OPTION += [
    ["--stem", "small", "--precision", "float32"],
    ["--augment", "flip"],
    ["--class_weights", "balanced"],
    ["--optimizer", "adam", "--lr", "0.001"],
]
EACH_OPTION += [["--schedule", "cosine", "--warmup", "0"], ["--schedule", "constant", "--warmup", "0.9"]]
EACH_OPTION += [["--mixup", "0.4"], ["--cutmix", "1", "--mixup", "1"], ["--clip_norm", "0.5"], ["--accumulate", "2"]]
EACH_OPTION += [["--sampling", "balanced"], ["--ema", "0.9"], ["--early_stopping", "3"], ["--label_smoothing", "0"]]


@pytest.mark.parametrize("more", EACH_OPTION, ids=" ".join)
def test_each_option_trains_other_weights_and_the_archive_holds_what_was_judged(
    colours: Path, plain: Path, tmp_path: Path, more: list[str]
) -> None:
    assert run(colours, tmp_path, *([] if "--stem" in more else OWN), *more) == 0
    card = archive.read_card(tmp_path / "model")
    assert judged(colours, tmp_path) == pytest.approx(card["metrics"]["validation_loss"], rel=1e-5)
    same = (tmp_path / "model/model.pt").read_bytes() == (plain / "model/model.pt").read_bytes()
    assert same == (more[0] in ("--early_stopping", "--class_weights"))  # nothing to stop, nothing to balance


def judged(splits: Path, root: Path) -> float:
    """Validation loss of the saved weights."""
    card = archive.read_card(root / "model")
    shape = card["architecture"]
    network = custom.build(SHIPPED, shape["num_classes"]) if "file" in shape else model.build(**shape)
    model.load_weights(network, root / "model/model.pt")
    check = Batches(open_split(splits / "validation"), torch.device("cpu"))
    return validating.measured(network, check, torch.autocast("cpu", torch.bfloat16, enabled=False))[0]


def test_early_stopping_keeps_the_epoch_with_the_lowest_validation_loss(tmp_path: Path) -> None:
    """Noise is learnt by heart, and soon."""
    pixels = np.random.default_rng(0).integers(0, 256, (96, 16, 16, 3), dtype=np.uint8)
    for name, part in (("train", pixels[:64]), ("validation", pixels[64:])):
        pictures.split(tmp_path / name, part, [index % 3 for index in range(len(part))], ["a", "b", "c"])
    more = ["--epochs", "9", "--early_stopping", "2", "--lr", "0.01", "--schedule", "constant"]
    assert run(tmp_path, tmp_path, *more) == 0
    report = pictures.json_of(tmp_path / "output/data/report/training.json")
    losses = [epoch["validation_loss"] for epoch in report["epochs"]]
    assert losses.index(min(losses)) == report["kept_epoch"] - 1 == len(losses) - 3
    assert len((tmp_path / "output/data/metrics.jsonl").read_text().splitlines()) == len(losses) < 9
    assert archive.read_card(tmp_path / "model")["metrics"]["validation_loss"] == min(losses)
    assert judged(tmp_path, tmp_path) == pytest.approx(min(losses), rel=1e-5)


def test_jpeg_shards_train_and_repeat_themselves(tmp_path: Path) -> None:
    pictures.colours(tmp_path, {"train": 6, "validation": 2}, encoding="jpeg")
    digests = set()
    for name in ("first", "second"):
        assert run(tmp_path, tmp_path / name, *OWN, "--augment", "flip") == 0
        digests.add(archive.read_card(tmp_path / name / "model")["weights"]["sha256"])
    assert len(digests) == 1


def test_balanced_class_weights_are_those_of_the_manifest_and_leave_validation_alone(tmp_path: Path) -> None:
    """A weight that no other class has shows in the training loss; validation is measured as without."""
    pictures.colours(tmp_path, {"train": 8, "validation": 3}, class_weights=[3.0, 0.5, 0.5])
    rows = {}
    for wanted in ("none", "balanced"):
        root = tmp_path / wanted
        more = ["--class_weights", wanted, "--batch_size", "24", "--lr", "1e-30"]
        assert run(tmp_path, root, *OWN, *more) == 0
        rows[wanted] = json.loads((root / "output/data/metrics.jsonl").read_text())
        report = pictures.json_of(root / "output/data/report/training.json")
        assert report["class_weights"] == {"none": None, "balanced": [3.0, 0.5, 0.5]}[wanted]
    assert rows["none"]["train_loss"] != pytest.approx(rows["balanced"]["train_loss"], rel=1e-3)
    assert rows["none"]["validation_loss"] == pytest.approx(rows["balanced"]["validation_loss"], rel=1e-5)


def test_a_class_with_pictures_and_no_weight_is_refused(tmp_path: Path) -> None:
    pictures.colours(tmp_path, {"train": 3, "validation": 2}, class_weights=[1.0, 0.0, 2.0])
    (tmp_path / "output").mkdir()
    assert run(tmp_path, tmp_path, "--class_weights", "balanced") == 1
    assert "class 'green' has pictures and the weight 0" in failure(tmp_path)
    assert run(tmp_path, tmp_path, *OWN, "--class_weights", "none") == 0


def test_a_jpeg_that_does_not_decode_ends_training_by_its_row(tmp_path: Path) -> None:
    """Too large to be hashed on opening is what such a split would be; here the manifest has been mended."""
    pictures.colours(tmp_path, {"train": 6, "validation": 2}, encoding="jpeg")
    pictures.forge(tmp_path / "train", lambda content: content.replace(b"\xff\xc0\x00\x11", b"\xff\xc0\x00\x10", 1))
    (tmp_path / "output").mkdir()
    assert run(tmp_path, tmp_path) == 1
    assert "00000.arrow: row 0 is no readable JPEG picture" in failure(tmp_path)


def test_bfloat16_is_refused_where_its_gradients_are_wrong(colours: Path, tmp_path: Path) -> None:
    """At 16 px the last stage of ResNet18 steps by 2 over 1 pixel; auto takes float32 there."""
    (tmp_path / "output").mkdir()
    assert run(colours, tmp_path, "--precision", "bfloat16") == 1
    assert "layer4.0.conv1 has a stride larger than its input at 16 px" in failure(tmp_path)
    assert not precision.use_bfloat16("auto", model.build("resnet18", 3), 16, torch.device("cpu"))
    assert precision.oversteps(model.build("resnet18", 3), 32, torch.device("cpu")) is None


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_the_chosen_precision_repeats_itself_bit_for_bit(tmp_path: Path, kind: str) -> None:
    """ResNet18 at 32 px, as shipped; two steps."""
    pixels = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)
    for name in ("train", "validation"):
        pictures.split(tmp_path / name, pixels, [index % 3 for index in range(16)], ["a", "b", "c"])
    digests = set()
    for name in ("first", "second", "third"):
        assert run(tmp_path, tmp_path / name, "--precision", kind, "--batch_size", "8") == 0
        digests.add(archive.read_card(tmp_path / name / "model")["weights"]["sha256"])
        report = pictures.json_of(tmp_path / name / "output/data/report/training.json")
        assert report["precision"] == kind
    assert len(digests) == 1


def test_a_batch_larger_than_the_data_is_one_step(colours: Path, tmp_path: Path) -> None:
    assert run(colours, tmp_path, *OWN, "--batch_size", "512") == 0


def test_sagemaker_variables_are_enough(colours: Path, tmp_path: Path) -> None:
    """As the toolkit starts it: values in arguments, folders in variables, the tuner's own mark among the arguments."""
    environment = {
        **os.environ,
        "SM_CHANNEL_TRAIN": str(colours / "train"),
        "SM_CHANNEL_VALIDATION": str(colours / "validation"),
        "SM_MODEL_DIR": str(tmp_path / "model"),
        "SM_OUTPUT_DATA_DIR": str(tmp_path / "output/data"),
        "SM_OUTPUT_DIR": str(tmp_path / "output"),
        "SM_NUM_GPUS": "0",
        "SM_NUM_CPUS": "1",
    }
    environment.pop("OMP_NUM_THREADS", None)
    values = ["--_tuning_objective_metric", "validation_accuracy", "--batch_size", "16", "--epochs", "1"]
    subprocess.run([sys.executable, ENTRYPOINTS / "train.py", *values], check=True, env=environment, cwd=tmp_path)
    assert pictures.json_of(tmp_path / "output/data/report/training.json")["threads"] == 1


REFUSED = {
    "epochs": (["--epochs", "0"], "from 1 to 10000"),
    "fraction of an epoch": (["--epochs", "1.5"], "whole number"),
    "lr": (["--lr", "0"], "above 0"),
    "lr nan": (["--lr", "nan"], "take a number above 0"),
    "lr word": (["--lr", "fast"], "such as 0.05"),
    "batch": (["--batch_size", "-4"], "from 1 to 65536"),
    "momentum": (["--momentum", "1"], "0.9999"),
    "weight decay": (["--weight_decay", "-1"], "from 0 to 1"),
    "smoothing": (["--label_smoothing", "1"], "0.9"),
    "optimizer": (["--optimizer", "lion"], "'sgd', 'adam', 'adamw'"),
    "augment": (["--augment", "cutmix"], "'none', 'flip', 'shift'"),
    "class weights": (["--class_weights", "2"], "'none', 'balanced'"),
    "stem": (["--stem", "tiny"], "invalid choice"),
    "shell": (["--model", "resnet18;reboot"], "letters, digits and underscores"),
    "blank": (["--lr", " 0.1"], "such as 0.05"),
    "digits of another script": (["--epochs", "٣"], "from 1 to 10000"),
    "underscores in a number": (["--batch_size", "1_6"], "from 1 to 65536"),
    "dropout": (["--dropout", "1"], "from 0 to 0.9"),
    "layers": (["--trainable_layers", "most"], "take all, or a whole number"),
    "layers below the head": (["--trainable_layers", "-1"], "take all, or a whole number"),
    "schedule": (["--schedule", "step"], "'onecycle', 'cosine', 'constant'"),
    "warm-up": (["--warmup", "1"], "from 0 to 0.9"),
    "mixup": (["--mixup", "11"], "from 0 to 10"),
    "cutmix": (["--cutmix", "-1"], "from 0 to 10"),
    "clipping": (["--clip_norm", "-1"], "from 0 to 1e+06"),
    "accumulation": (["--accumulate", "0"], "from 1 to 1024"),
    "sampling": (["--sampling", "random"], "'shuffled', 'balanced'"),
    "patience": (["--early_stopping", "-1"], "from 0 to 10000"),
    "float16 without a GPU": (["--precision", "float16"], "needs a GPU"),
    "minutes": (["--checkpoint_minutes", "-1"], "from 0 to 10000"),
    "too many layers": (["--trainable_layers", "6"], "the network has 5 blocks below its head"),
    "decay": (["--ema", "1"], "from 0 to 0.99999"),
    "model": (["--model", "resnet81"], "did you mean resnet18"),
    "small stem": (["--model", "mobilenet_v3_small", "--stem", "small"], "no small stem"),
    "misspelt": (["--bach_size", "4"], "did you mean --batch_size"),
    "shortened": (["--epoch", "4"], "unknown argument '--epoch'"),
    "channel": (["--train-dir", "/nowhere"], "no finished split"),
    "diverging": (["--lr", "100", "--momentum", "0.99", "--epochs", "9", "--batch_size", "4"], "lower lr"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_trained_is_refused_with_the_mend(colours: Path, tmp_path: Path, case: str) -> None:
    more, words = REFUSED[case]
    (tmp_path / "output/data").mkdir(parents=True)
    assert run(colours, tmp_path, *more) == 1
    assert words in failure(tmp_path)
    assert not (tmp_path / "model/model.json").exists()


def test_a_gpu_instance_without_cuda_is_refused(colours: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU that torch sees")
    (tmp_path / "output").mkdir()
    assert train.main(arguments(colours, tmp_path), {"SM_NUM_GPUS": "1"}) == 1
    assert "the instance has 1 GPUs" in failure(tmp_path)


def test_one_instance_trains(colours: Path, tmp_path: Path) -> None:
    values = ["--epochs", "1", "--batch_size", "16", *OWN]
    assert train.main([*arguments(colours, tmp_path), *values], {"SM_HOSTS": '["algo-1"]'}) == 0


def test_splits_of_two_preparations_are_refused(colours: Path, tmp_path: Path) -> None:
    other = pictures.split(tmp_path / "validation", np.zeros((4, 16, 16, 3), np.uint8), [0, 1, 0, 1], ["a", "b"])
    (tmp_path / "output").mkdir()
    assert run(colours, tmp_path, "--validation-dir", str(other)) == 1
    assert "not prepared together ('classes' differs)" in failure(tmp_path)


def test_splits_that_were_squared_differently_are_refused(colours: Path, tmp_path: Path) -> None:
    other = pictures.colours(tmp_path, {"validation": 2}, square="pad")
    (tmp_path / "output").mkdir()
    assert run(colours, tmp_path, "--validation-dir", str(other / "validation")) == 1
    assert "not prepared together ('square' differs)" in failure(tmp_path)


def test_a_missing_folder_names_the_variable() -> None:
    with pytest.raises(Refusal, match="set SM_CHANNEL_TRAIN"):
        hyperparameters.parse([], {})


def test_weights_of_another_network_name_the_layers(tmp_path: Path) -> None:
    model.save_weights(model.build("resnet18", 3), tmp_path / "w.pt")
    with pytest.raises(Refusal, match=re.escape("fc.bias, fc.weight")):
        model.load_weights(model.build("resnet18", 4), tmp_path / "w.pt")


SMALL = ["--model", "shufflenet_v2_x0_5", "--precision", "float32"]


@pytest.fixture(scope="module")
def earlier(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network, trained for three epochs, and the archive of it."""
    root = tmp_path_factory.mktemp("earlier")
    assert run(colours, root, *SMALL, "--epochs", "3") == 0
    with tarfile.open(root / "model/model.tar.gz", "w:gz", compresslevel=1) as entries:
        for name in ("model.json", "model.pt"):
            entries.add(root / "model" / name, name)
    return root / "model"


@pytest.mark.parametrize(("option", "told"), [("--weights-dir", "weights: "), ("--warm-start-dir", "warm start: ")])
def test_training_goes_on_from_given_weights(
    colours: Path, earlier: Path, tmp_path: Path, option: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rate of nearly nothing leaves them as they came."""
    assert run(colours, tmp_path, *SMALL, option, str(earlier), "--lr", "1e-30", "--weight_decay", "0") == 0
    given, kept = (torch.load(root / "model.pt", weights_only=True) for root in (earlier, tmp_path / "model"))
    assert all(torch.equal(given[name], kept[name]) for name in given if name.endswith(("weight", "bias")))
    assert capsys.readouterr().err.startswith(told)


def test_weights_of_another_network_end_the_job(colours: Path, earlier: Path, tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    assert run(colours, tmp_path, "--weights-dir", str(earlier)) == 1
    assert "weights of another network; these layers differ: " in failure(tmp_path)


def test_two_ways_to_start_are_refused(colours: Path, earlier: Path, tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    assert run(colours, tmp_path, "--weights-dir", str(earlier), "--warm-start-dir", str(earlier)) == 1
    assert "channels weights and warm_start): take one" in failure(tmp_path)


@pytest.mark.parametrize("layers", ["0", "1"])
@pytest.mark.parametrize("augment", ["none", "shift"])
def test_frozen_layers_stay_as_they_were_given_statistics_too(
    colours: Path, earlier: Path, tmp_path: Path, layers: str, augment: str
) -> None:
    more = ["--weights-dir", str(earlier), "--trainable_layers", layers, "--augment", augment]
    assert run(colours, tmp_path, *SMALL, *more) == 0
    given, kept = (torch.load(root / "model.pt", weights_only=True) for root in (earlier, tmp_path / "model"))
    changed = {name.split(".")[0] for name in given if not torch.equal(given[name], kept[name])}
    assert changed == {"0": {"fc"}, "1": {"fc", "conv5"}}[layers]


def test_a_head_learns_the_same_from_features_as_from_pictures(colours: Path, earlier: Path, tmp_path: Path) -> None:
    """Mixing keeps features out; with so small an alpha it only changes the order in the one batch of an epoch."""
    losses = {}
    for name, more in (("features", []), ("pictures", ["--mixup", "0.0001"])):
        frozen = ["--weights-dir", str(earlier), "--trainable_layers", "0", "--batch_size", "42", "--epochs", "3"]
        assert run(colours, tmp_path / name, *SMALL, *frozen, *more) == 0
        losses[name] = archive.read_card(tmp_path / name / "model")["metrics"]["validation_loss"]
        assert judged(colours, tmp_path / name) == pytest.approx(losses[name], rel=1e-4)
    assert losses["features"] == pytest.approx(losses["pictures"], rel=1e-3)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_accumulated_batches_make_the_step_of_one_large_batch(
    colours: Path, earlier: Path, tmp_path: Path, optimizer: str
) -> None:
    """In a head alone, as batch norm sees each batch by itself."""
    more = ["--weights-dir", str(earlier), "--trainable_layers", "0", "--optimizer", optimizer, "--lr", "0.01"]
    for name, batch in (("once", ["--batch_size", "42"]), ("parts", ["--batch_size", "14", "--accumulate", "3"])):
        assert run(colours, tmp_path / name, *SMALL, *more, *batch, "--epochs", "3") == 0
    once, parts = (torch.load(tmp_path / name / "model/model.pt", weights_only=True) for name in ("once", "parts"))
    given = torch.load(earlier / "model.pt", weights_only=True)
    assert torch.allclose(once["fc.weight"], parts["fc.weight"], atol=1e-6)
    assert not torch.allclose(once["fc.weight"], given["fc.weight"], atol=1e-3)


def test_pictures_too_small_for_the_model_are_refused(colours: Path, tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    assert run(colours, tmp_path, "--model", "alexnet") == 1
    assert "pictures of 16 px failed" in failure(tmp_path)


def test_the_temperature_is_that_of_the_kept_network_on_validation(colours: Path, earlier: Path) -> None:
    card = archive.read_card(earlier)
    network = model.build(**card["architecture"])
    model.load_weights(network, earlier / "model.pt")
    split = open_split(colours / "validation")
    with torch.inference_mode():
        shown = torch.cat([part for part, _ in Batches(split, torch.device("cpu")).in_order()])
        scores = network.eval()(shown)
    assert card["temperature"] == pytest.approx(calibration.temperature(scores.numpy(), split.labels), rel=1e-3)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "owned"),)

    torch.save({"fc.weight": Evil()}, tmp_path / "w.pt")
    with pytest.raises(Refusal, match="no readable weights"):
        model.load_weights(model.build("resnet18", 3), tmp_path / "w.pt")
    assert not (tmp_path / "owned").exists()
