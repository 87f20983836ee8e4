"""Pictures are decoded once, the same whatever the number of processes, and what goes wrong has a name."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import images
import numpy as np
import pictures
import pytest
from preparation import fingerprints, staging, workers
from preparation.items import Item, Source
from refusal import Refusal

SHAPES = ((30, 40), (40, 30), (25, 25), (200, 120))


def contents(count: int) -> list[bytes]:
    """PNGs and JPEGs of several shapes; number 5 is damaged, number 7 is text."""
    made = []
    for number in range(count):
        pixels = pictures.noisy((9 * number % 256, 120, 200), SHAPES[number % 4], number)
        content = pictures.encoded(pixels, "JPEG" if number % 2 else "PNG")
        made.append(content[:-30] if number == 5 else b"no picture" if number == 7 else content)
    return made


def source_of(read: Callable[[int], bytes], count: int) -> Source:
    items = [Item(f"class/{number:04d}.png", 0) for number in range(count)]
    return Source("imagefolder", ("class",), items, read, None, (), "0")


@pytest.fixture
def source() -> Source:
    made = contents(150)
    return source_of(made.__getitem__, len(made))


def test_each_row_says_what_is_known_of_its_picture(source: Source, tmp_path: Path) -> None:
    staged = staging.stage(source, tmp_path, 32, processes=2)
    assert (staged.size, staged.encoding) == (32, "raw")
    assert source.read is not None
    for index in (0, 1, 63, 64, 149):
        content = source.read(index)
        assert np.array_equal(staged.pixels([index])[0], images.read(content, 32))
        assert (staged.height[index], staged.width[index]) == SHAPES[index % 4]
        assert staged.digest[index].tobytes() == hashlib.sha256(content).digest()
        assert staged.hash[index] == fingerprints.of(staged.pixels([index]))[0] != 0
    assert [index for index, problem in enumerate(staged.problem) if problem] == [5, 7]


def test_unreadable_pictures_have_a_problem_no_sides_no_hash_and_black_pixels(source: Source, tmp_path: Path) -> None:
    staged = staging.stage(source, tmp_path, 32)
    assert "cut short" in staged.problem[5] and "not a JPEG" in staged.problem[7]
    assert not staged.width[[5, 7]].any() and not staged.height[[5, 7]].any() and not staged.hash[[5, 7]].any()
    assert not staged.pixels([5, 7]).any()
    assert staged.digest[7].tobytes() == hashlib.sha256(b"no picture").digest()


@pytest.mark.parametrize("raw_limit", [2**30, 0])
def test_the_number_of_processes_changes_nothing(source: Source, tmp_path: Path, raw_limit: int) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "3").mkdir()
    one, three = (
        staging.stage(source, tmp_path / str(number), 32, raw_limit=raw_limit, processes=number) for number in (1, 3)
    )
    assert np.array_equal(one.pixels(range(150)), three.pixels(range(150)))
    for name in ("width", "height", "digest", "hash", "problem"):
        assert np.array_equal(getattr(one, name), getattr(three, name))
    files = [sorted(path.relative_to(tmp_path / at) for path in (tmp_path / at).rglob("*")) for at in ("1", "3")]
    assert files[0] == files[1]
    for name in files[0]:
        if (tmp_path / "1" / name).is_file():
            assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes()


def test_pixels_come_in_the_order_asked_for(source: Source, tmp_path: Path) -> None:
    staged = staging.stage(source, tmp_path, 32)
    whole = staged.pixels(range(150))
    for indices in ([3, 4, 5, 99, 98, 0, 0, 149], [], [149]):
        assert np.array_equal(staged.pixels(indices), whole[indices])
    assert np.array_equal(staged.pixels(np.array([2, 1], dtype=np.int32)), whole[[2, 1]])


def test_above_the_limit_squares_are_jpegs(source: Source, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    raw = staging.stage(source, tmp_path / "raw", 32, raw_limit=150 * 32 * 32 * 3)
    packed = staging.stage(source, tmp_path, 32, raw_limit=150 * 32 * 32 * 3 - 1)
    assert (raw.encoding, packed.encoding) == ("raw", "jpeg")
    for index in (0, 64, 70, 149):
        assert packed.jpeg(index) == images.jpeg(raw.pixels([index])[0])
        assert np.array_equal(packed.pixels([index])[0], images.read(packed.jpeg(index), 32))
    assert packed.jpeg(5) == b"" and not packed.pixels([5]).any()
    with pytest.raises(TypeError, match="raw"):
        raw.jpeg(0)


def held(side: int, count: int = 130) -> Source:
    pixels = np.random.default_rng(1).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    items = [Item(f"train/batch/{number:05d}", 0) for number in range(count)]
    return Source("cifar10", ("class",), items, None, pixels, (), "0")


def test_pixels_that_the_source_holds_are_the_squares_themselves(tmp_path: Path) -> None:
    source = held(32)
    staged = staging.stage(source, tmp_path, 32)
    assert source.pixels is not None
    assert np.array_equal(staged.pixels([0, 129]), source.pixels[[0, 129]])
    assert not list(tmp_path.iterdir())
    assert staged.digest[129].tobytes() == hashlib.sha256(source.pixels[129]).digest()
    assert (staged.hash == fingerprints.of(source.pixels)).all()
    assert set(staged.width) == set(staged.height) == {32} and not any(staged.problem)


@pytest.mark.parametrize("raw_limit", [2**30, 0])
def test_pixels_of_another_size_are_resized(tmp_path: Path, raw_limit: int) -> None:
    source = held(32, 70)
    staged = staging.stage(source, tmp_path, 24, raw_limit=raw_limit)
    assert source.pixels is not None
    expected = images.squared(source.pixels[69], 24)
    found = staged.pixels([69])[0]
    assert np.array_equal(found, expected) if raw_limit else np.array_equal(found, images.read(staged.jpeg(69), 24))
    assert staged.width[69] == 32 and staged.digest[69].tobytes() == hashlib.sha256(source.pixels[69]).digest()


@pytest.mark.parametrize(
    ("kind", "image_size", "stored"),
    [
        ("imagefolder", 224, 256),
        ("imagefolder", 64, 73),
        ("manifest", 32, 37),
        ("digits", 32, 32),
        ("digits", 8, 8),
        ("cifar10", 32, 32),
        ("cifar100", 28, 32),
        ("cifar10", 24, 27),
    ],
)
def test_what_is_stored_has_a_margin_for_crops_unless_that_would_enlarge_it(
    kind: str, image_size: int, stored: int
) -> None:
    assert staging.stored_size(kind, image_size) == stored


def test_a_process_that_is_killed_is_one_refusal_with_the_names(tmp_path: Path) -> None:
    made = contents(150)

    def read(index: int) -> bytes:
        if index == 70:
            os.kill(os.getpid(), signal.SIGKILL)
        return made[index]

    with pytest.raises(Refusal) as caught:
        staging.stage(source_of(read, 150), tmp_path, 32, processes=2)
    message = str(caught.value)
    assert message.startswith("class/0064.png to class/0127.png: the process that read them was killed by SIGKILL")
    assert "class/0070.png" in message and "processing.instance_type" in message and "\n" not in message


def test_a_file_that_the_disk_does_not_give_is_a_refusal(tmp_path: Path) -> None:
    def read(index: int) -> bytes:
        return Path(tmp_path, f"gone-{index}.png").read_bytes()

    with pytest.raises(Refusal, match=r"class/0000\.png: cannot be read from disk \(No such file or directory\)"):
        staging.stage(source_of(read, 1), tmp_path, 32)


def test_a_damaged_member_of_an_archive_is_an_unreadable_picture(tmp_path: Path) -> None:
    made = contents(3)

    def read(index: int) -> bytes:
        if index == 1:
            raise images.Unreadable("the archive's checksum says otherwise")
        return made[index]

    staged = staging.stage(source_of(read, 3), tmp_path, 32)
    assert staged.problem == ["", "the archive's checksum says otherwise", ""]


def test_a_picture_that_takes_too_much_memory_is_a_refusal(tmp_path: Path) -> None:
    def read(index: int) -> bytes:
        raise MemoryError

    with pytest.raises(Refusal, match=r"class/0000\.png: too little memory"):
        staging.stage(source_of(read, 1), tmp_path, 32)


def test_a_full_disk_is_an_error_of_the_disk(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs Linux's /dev/full")
    (tmp_path / "squares").mkdir()
    (tmp_path / "squares" / "000000000.jpegs").symlink_to("/dev/full")
    store = staging.Jpegs.__new__(staging.Jpegs)
    store.folder, store.size, store.rows = tmp_path / "squares", 32, 64
    work = staging.Chunks(source_of(contents(1).__getitem__, 1), store, "crop")
    with pytest.raises(OSError, match="No space left"):
        list(workers.spread(work, range(0, 1, 64), 1))


def test_an_empty_source_has_no_rows(tmp_path: Path) -> None:
    staged = staging.stage(source_of(contents(0).__getitem__, 0), tmp_path, 32)
    assert staged.pixels([]).shape == (0, 32, 32, 3) and len(staged.hash) == 0


MEASURED = """
import io, resource, sys, tempfile
from pathlib import Path
import numpy as np
from preparation import staging
from PIL import Image
from preparation.items import Item, Source
buffer = io.BytesIO()
Image.fromarray(np.random.default_rng(1).integers(0, 256, (96, 96, 3), dtype=np.uint8)).save(buffer, "BMP")
count = int(sys.argv[1])
items = [Item(f"{number:06d}.png", 0) for number in range(count)]
source = Source("imagefolder", ("a",), items, lambda index: buffer.getvalue(), None, (), "0")
with tempfile.TemporaryDirectory() as folder:
    staged = staging.stage(source, Path(folder), 96, processes=2)
    for start in range(0, count, 64):
        staged.pixels(range(start, min(start + 64, count)))
peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(max(peaks) / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss counts in KiB on Linux")
def test_memory_does_not_grow_with_the_number_of_pictures() -> None:
    """2,500 more squares of 96 px are 66 MB of pixels."""
    few, many = (
        float(
            subprocess.run(
                [sys.executable, "-c", MEASURED, str(count)],
                cwd=Path(staging.__file__).parent.parent,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for count in (200, 2700)
    )
    assert many - few < 20
