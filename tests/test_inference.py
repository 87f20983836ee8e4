"""The handlers: each form of a picture gives the same answer, and each bad body one sentence."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import archive
import images
import inference
import model
import numpy as np
import payload
import pictures
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from refusal import Refusal
from serving import answers

PIXELS = pictures.noisy((200, 40, 30), (18, 18), 1)
FRAME = payload.Frame(16, 18, "crop")
PREPROCESSING = {**FRAME._asdict(), "mean": [0.4, 0.4, 0.4], "deviation": [0.2, 0.2, 0.2]}


def npy(array: NDArray[np.generic]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npz(*parts: NDArray[np.generic], packed: bool = True) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(buffer, *parts)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> inference.Predictor:
    torch.manual_seed(0)
    return inference.model_fn(make_model(tmp_path_factory.mktemp("model")))


def make_model(folder: Path) -> Path:
    """An untrained network of three classes at 16 px, described by a card as train.py writes it."""
    model.save_weights(model.build("resnet18", 3), folder / "model.pt")
    card = {
        "format": archive.FORMAT,
        "architecture": {"name": "resnet18", "stem": "torchvision", "num_classes": 3},
        "classes": ["blue", "green", "red"],
        "preprocessing": PREPROCESSING,
        "weights": {"file": "model.pt", "sha256": archive.sha256(folder / "model.pt")},
    }
    (folder / "model.json").write_text(json.dumps(card))
    return folder


FORMS = {
    "png": pictures.encoded(PIXELS),
    "webp": pictures.encoded(PIXELS, "WEBP", lossless=True),
    "bmp": pictures.encoded(PIXELS, "BMP"),
    "tiff": pictures.encoded(PIXELS, "TIFF"),
    "bigtiff": pictures.encoded(PIXELS, "TIFF", big_tiff=True),
    "npy, height width channel": npy(PIXELS),
    "npy, channel first": npy(PIXELS.transpose(2, 0, 1)),
    "npy, Fortran order": npy(np.asfortranarray(PIXELS)),
    "npy, batch of one": npy(PIXELS[None]),
    "npy, int64": npy(PIXELS.astype(np.int64)),
    "npy, shares": npy(PIXELS / 255),
    "npy, big endian": npy(PIXELS.astype(">f4")),
    "json": json.dumps(PIXELS.tolist()).encode(),
    "json, channel first": json.dumps(PIXELS.transpose(2, 0, 1).tolist()).encode(),
    "json, shares": json.dumps((PIXELS / 255).tolist()).encode(),
    "npz": npz(PIXELS),
    "npz, stored": npz(PIXELS.transpose(2, 0, 1), packed=False),
    "json lines": json.dumps(PIXELS.tolist()).encode() + b"\r\n\r\n",
    "json, instances": b"  " + json.dumps({"instances": [PIXELS.tolist()]}).encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_a_picture_is_the_same_picture(form: str) -> None:
    assert np.array_equal(payload.decode(FORMS[form], FRAME), PIXELS[None, 1:17, 1:17])


@pytest.mark.parametrize("kind", ["JPEG", "GIF"])
def test_lossy_forms_come_close(kind: str) -> None:
    smooth = np.full((16, 16, 3), (200, 40, 30), dtype=np.uint8)
    decoded = payload.decode(pictures.encoded(smooth, kind), FRAME)
    assert np.abs(decoded.astype(int) - smooth).max() < 12


def test_a_file_is_read_as_preparation_reads_it() -> None:
    photo = pictures.encoded(pictures.noisy((90, 120, 60), (190, 240), 4), "JPEG")
    assert np.array_equal(payload.decode(photo, FRAME)[0], images.centre(images.read(photo, 18), 16))


def test_an_array_of_another_size_is_squared_and_centred_as_a_file_is() -> None:
    pixels = pictures.noisy((90, 120, 60), (30, 44), 4)
    assert np.array_equal(payload.decode(npy(pixels), FRAME), payload.decode(pictures.encoded(pixels), FRAME))
    padded = payload.Frame(16, 18, "pad")
    assert not np.array_equal(payload.decode(npy(pixels), padded), payload.decode(npy(pixels), FRAME))


def test_batches_of_several_sizes_come_as_npz_and_as_json_lines() -> None:
    """Each picture is squared by itself, in the order of the file."""
    wide = pictures.noisy((20, 40, 200), (18, 30), 2)
    expected = np.concatenate([payload.decode(npy(each), FRAME) for each in (PIXELS, wide, PIXELS)])
    assert np.array_equal(payload.decode(npz(PIXELS, wide, PIXELS[None]), FRAME), expected)
    lines = b"\n".join(json.dumps(each.tolist()).encode() for each in (PIXELS, wide.transpose(2, 0, 1), PIXELS))
    assert np.array_equal(payload.decode(lines, FRAME), expected)


@pytest.mark.parametrize("shape", [(3, 32, 32), (32, 32, 3)])
def test_a_cifar_array_as_json_is_its_picture(shape: tuple[int, ...]) -> None:
    """What other model servers hand on once they have parsed or decoded it is the same."""
    pixels = pictures.noisy((120, 90, 30), (32, 32), 7)
    array = pixels if shape[2] == 3 else pixels.transpose(2, 0, 1)
    text = json.dumps(array.tolist())
    expected = payload.decode(pictures.encoded(pixels), FRAME)
    for handed in (
        text,
        text.encode(),
        bytearray(text.encode()),
        array.tolist(),
        {"instances": [array.tolist()]},
        array,
    ):
        assert np.array_equal(payload.decode(inference.input_fn(handed, "application/json"), FRAME), expected)


def test_a_card_of_the_format_before_is_refused(tmp_path: Path) -> None:
    card = json.loads((make_model(tmp_path) / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**card, "format": 1}))
    with pytest.raises(Refusal, match="train again with this code"):
        inference.model_fn(tmp_path)


def test_an_answer_names_the_most_probable_classes(predictor: inference.Predictor) -> None:
    predictions = inference.predict_fn(inference.input_fn(FORMS["png"], "image/png"), predictor)
    text, kind = inference.output_fn(predictions)
    answer = json.loads(text)["predictions"]
    assert kind == "application/json"
    assert len(answer) == 1
    assert [entry["class"] for entry in answer[0]["top"]][0] == answer[0]["class"]
    assert sum(entry["probability"] for entry in answer[0]["top"]) == pytest.approx(1, abs=1e-5)


def test_a_picture_gets_the_same_answer_alone_and_in_a_batch(predictor: inference.Predictor) -> None:
    batch = np.stack([pictures.noisy((10 * i, 90, 30), (16, 16), i) for i in range(9)])
    together = inference.predict_fn(npy(batch), predictor).rows
    alone = np.concatenate([inference.predict_fn(npy(each), predictor).rows for each in batch])
    assert together.shape == (9, 3)
    assert np.allclose(together, alone, atol=1e-4)


def lying_header(shape: str) -> bytes:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(64)


def npy_of_objects() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def npy_header(shape: str) -> bytes:
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"x"


def zipped(method: int = zipfile.ZIP_DEFLATED, **files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as packed:
        for name, content in files.items():
            packed.writestr(name.replace("_", "."), content)
    return buffer.getvalue()


def forged(size: int) -> bytes:
    """A zip whose directory says that its one array has so many bytes."""
    body = bytearray(zipped(a_npy=npy(PIXELS)))
    entry = body.index(b"PK\x01\x02")
    body[entry + 24 : entry + 28] = size.to_bytes(4, "little")
    return bytes(body)


BAD: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 400, "empty"),
    "text": (b"hello there", 415, "is not a JPEG"),
    "pdf": (b"%PDF-1.7", 415, "is not a JPEG"),
    "cut picture": (FORMS["png"][:100], 400, "cut short"),
    "magic only": (b"\xff\xd8\xff", 400, "cannot be read"),
    "too many bytes": (b"\xff" * (payload.MAX_BODY + 1), 413, "this endpoint takes 6,291,456"),
    "two sides": (npy(PIXELS[:, :, 0]), 400, "shape (18, 18)"),
    "four channels": (npy(np.zeros((16, 16, 4), np.uint8)), 400, "neither"),
    "no picture": (npy(np.zeros((0, 16, 16, 3), np.uint8)), 400, "shape (0, 16, 16, 3)"),
    "too many pictures": (npy(np.zeros((300, 2, 2, 3), np.uint8)), 413, "at most 256"),
    "negative": (npy(np.full((4, 4, 3), -1)), 400, "0 to 255"),
    "too bright": (npy(np.full((4, 4, 3), 256)), 400, "0 to 255"),
    "not a number": (npy(np.full((4, 4, 3), np.nan)), 400, "0 to 255"),
    "infinite": (npy(np.full((4, 4, 3), np.inf)), 400, "0 to 255"),
    "complex": (npy(np.zeros((4, 4, 3), complex)), 400, "complex128"),
    "words": (npy(np.full((4, 4, 3), "a")), 400, "<U1"),
    "cut npy": (FORMS["npy, int64"][:-5], 400, "does not fit"),
    "promising npy": (lying_header("(100000, 100000, 3)"), 400, "does not fit"),
    "negative npy": (lying_header("(-1, -8, 1)"), 400, ""),
    "damaged npy": (b"\x93NUMPY\x01\x00\x05\x00{{{{{", 400, "header is damaged"),
    "version 9 npy": (b"\x93NUMPY\x09\x00" + bytes(20), 400, "header is damaged"),
    "broken json": (b"[[1, 2", 400, "not valid JSON"),
    "ragged json": (b"[[[1, 2, 3]], [[1]]]", 400, "ragged"),
    "words in json": (b'[[["a", "b", "c"]]]', 400, "other than numbers"),
    "null json": (b"[[[null, 1, 2]]]", 400, "other than numbers"),
    "huge number": (b"[[[" + b"9" * 400 + b", 1, 2]]]", 400, ""),
    "nested json": (b"[" * 100_000, 400, "nested too deeply"),
    "other object": (b'{"image": [1]}', 400, "exactly"),
    "flat json": (b"[1, 2, 3]", 400, "shape (3,)"),
    "no array in the npz": (zipped(), 400, "empty"),
    "another zip": (zipped(readme_txt=b"hello"), 415, "something else than .npy"),
    "npz of pickles": (zipped(a_npy=npy_of_objects()), 400, "holds object"),
    "npz bomb": (zipped(a_npy=bytes(80 * 2**20)), 413, "unpacks to 83,886,080 bytes"),
    "npz that promises": (forged(2**31), 413, "unpacks to"),
    "npz that promises less": (forged(60), 400, "damaged"),
    "npz packed by LZMA": (zipped(zipfile.ZIP_LZMA, a_npy=npy(PIXELS)), 400, "unusual way"),
    "cut npz": (npz(PIXELS)[:-30], 400, "damaged or cut short"),
    "many arrays": (npz(*[np.zeros((2, 2, 3), np.uint8)] * 257), 413, "at most 256"),
    "many pictures in arrays": (npz(*[np.zeros((130, 2, 2, 3), np.uint8)] * 2), 413, "at most 256"),
    "ragged json lines": (b"[[[1, 2, 3]]]\n[[[1, 2, 3]], [[1]]]", 400, "ragged"),
    "broken json line": (b"[[[1, 2, 3]]]\n[[[1,", 400, "nor is its line 2"),
    "many json lines": (b"[[[1, 2, 3]]]\n" * 257, 413, "at most 256"),
    "nested json lines": (b"[[[1, 2, 3]]]\n" + b"[" * 100_000, 400, "nested too deeply"),
    "npy of pickles": (npy_of_objects(), 400, "holds object"),
    "npy of many sides": (npy_header("(" + "1, " * 70 + ")"), 400, ""),
    "deep npy header": (npy_header("(" * 3000), 400, "header"),
    "many sides": (b"[" * 40 + b"1" + b"]" * 40, 400, "shape"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_body_is_refused_in_one_sentence(case: str) -> None:
    body, status, words = BAD[case]
    with pytest.raises(payload.BadRequest) as caught:
        payload.decode(body, FRAME)
    assert caught.value.status == status
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


CHANGES = st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=6)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=4)
)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow warns about damage and goes on
@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(FORMS)), CHANGES, st.integers(0))
def test_a_mutated_body_is_answered_or_refused_and_nothing_else(
    form: str, changes: list[tuple[int, int]], cut: int
) -> None:
    body = bytearray(FORMS[form])
    for position, value in changes:
        body[position % len(body)] = value
    try:
        assert payload.decode(bytes(body[: cut % (2 * len(body))]), FRAME).shape[1:] == (16, 16, 3)
    except payload.BadRequest as refused:
        assert 400 <= refused.status < 500


@settings(max_examples=100, deadline=None)
@given(ANY_JSON)
def test_any_json_is_answered_or_refused(value: object) -> None:
    try:
        payload.decode(json.dumps([value]).encode(), FRAME)
    except payload.BadRequest as refused:
        assert str(refused)


def card_with(folder: Path, **more: object) -> Path:
    card = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**card, **more}))
    return folder


def test_a_temperature_in_the_card_softens_answers_and_changes_no_class(tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain = inference.model_fn(make_model(tmp_path))
    soft = inference.model_fn(card_with(tmp_path, temperature=4.0))
    before, after = (inference.probabilities(each, PIXELS[None])[0] for each in (plain, soft))
    scores = inference.logits(plain, PIXELS[None])[0].astype(float)
    expected = np.exp(scores / 4) / np.exp(scores / 4).sum()
    assert np.allclose(after, expected, atol=1e-6)
    assert before.argmax() == after.argmax()
    assert before.max() > after.max()


@pytest.mark.parametrize("bad", [0, -1, "2", True, None, [1.0], float("inf"), float("nan")])
def test_a_temperature_that_is_no_positive_number_is_refused(tmp_path: Path, bad: object) -> None:
    with pytest.raises(Refusal, match="is no positive number: train again"):
        inference.model_fn(card_with(make_model(tmp_path), temperature=bad))


def test_an_answer_below_the_threshold_is_unsure_and_the_environment_overrules_the_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = card_with(make_model(tmp_path), serving={"unsure_below": 1.0, "top": 2}, temperature=9.0)
    doubtful = answers.entries(inference.predict_fn(npy(PIXELS), inference.model_fn(folder)))[0]
    assert doubtful["unsure"] is True
    assert len(doubtful["top"]) == 2
    monkeypatch.setenv("DARKROOM_UNSURE_BELOW", "0.01")
    monkeypatch.setenv("DARKROOM_TOP", "1")
    sure = answers.entries(inference.predict_fn(npy(PIXELS), inference.model_fn(folder)))[0]
    assert sure == {**doubtful, "unsure": False, "top": doubtful["top"][:1]}


@pytest.mark.parametrize("serving", [{"top": 0}, {"unsure_below": 1.1}, {"unsure_below": "x"}, {"top": None}, [1]])
def test_a_card_that_asks_for_impossible_answers_is_refused(tmp_path: Path, serving: object) -> None:
    with pytest.raises(Refusal, match="unsure_below"):
        inference.model_fn(card_with(make_model(tmp_path), serving=serving))
