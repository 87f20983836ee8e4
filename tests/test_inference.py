"""The handlers: each form of a picture gives the same answer, and each bad body one sentence."""

from __future__ import annotations

import io
import json
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

PIXELS = pictures.noisy((200, 40, 30), (18, 18), 1)
FRAME = payload.Frame(16, 18, "crop")
PREPROCESSING = {**FRAME._asdict(), "mean": [0.4, 0.4, 0.4], "deviation": [0.2, 0.2, 0.2]}


def npy(array: NDArray[np.generic]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
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


def test_a_card_of_the_format_before_is_refused(tmp_path: Path) -> None:
    card = json.loads((make_model(tmp_path) / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**card, "format": 1}))
    with pytest.raises(Refusal, match="train again with this code"):
        inference.model_fn(tmp_path)


def test_an_answer_names_the_most_probable_classes(predictor: inference.Predictor) -> None:
    predictions = inference.predict_fn(inference.input_fn(FORMS["png"], "image/png"), predictor)
    answer = json.loads(inference.output_fn(predictions))["predictions"]
    assert len(answer) == 1
    assert [entry["class"] for entry in answer[0]["top"]][0] == answer[0]["class"]
    assert sum(entry["probability"] for entry in answer[0]["top"]) == pytest.approx(1, abs=1e-5)


def test_a_picture_gets_the_same_answer_alone_and_in_a_batch(predictor: inference.Predictor) -> None:
    batch = np.stack([pictures.noisy((10 * i, 90, 30), (16, 16), i) for i in range(9)])
    together = inference.predict_fn(npy(batch), predictor)
    alone = [inference.predict_fn(npy(each), predictor)[0] for each in batch]
    assert [entry["class"] for entry in together] == [entry["class"] for entry in alone]
    assert all(abs(a["probability"] - b["probability"]) < 1e-4 for a, b in zip(together, alone, strict=True))


def lying_header(shape: str) -> bytes:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(64)


BAD: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 400, "empty"),
    "text": (b"hello there", 415, "is not a JPEG"),
    "pdf": (b"%PDF-1.7", 415, "is not a JPEG"),
    "cut picture": (FORMS["png"][:100], 400, "cut short"),
    "magic only": (b"\xff\xd8\xff", 400, "cannot be read"),
    "too many bytes": (b"\xff" * (payload.MAX_BODY + 1), 413, "SageMaker takes"),
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
