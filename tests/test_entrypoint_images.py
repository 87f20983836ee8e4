"""Every kind of picture file comes out as the pixels that a person would see, or is refused in one sentence."""

from __future__ import annotations

import functools
import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import colour
import images
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms

Pixels = NDArray[np.uint8]
CORNERS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 210), "white": (250, 250, 250)}


def quarters(side: int = 200) -> Pixels:
    """Red and green above blue and white: whichever way it is turned, it can be told."""
    pixels = np.zeros((side, side, 3), dtype=np.uint8)
    half = side // 2
    pixels[:half, :half], pixels[:half, half:] = CORNERS["red"], CORNERS["green"]
    pixels[half:, :half], pixels[half:, half:] = CORNERS["blue"], CORNERS["white"]
    return pixels


def near(found: Pixels, expected: Pixels | tuple[int, ...], within: int = 12) -> bool:
    """Away from edges, which JPEG smears."""
    distance = np.abs(found.astype(int) - np.asarray(expected).astype(int)).max(-1)
    return bool(np.quantile(distance, 0.9) <= within)


def png_file(width: int, height: int, depth: int, kind: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG by hand, for what Pillow reads and does not write: `rows` are height times (0, packed pixels)."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    middle = b"".join(chunk(name, body) for name, body in chunks)
    return b"\x89PNG\r\n\x1a\n" + header + middle + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def deep_png(pixels: NDArray[np.uint16], kind: int, *chunks: tuple[bytes, bytes]) -> bytes:
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return png_file(width, height, 16, kind, rows, *chunks)


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


@functools.cache
def wide_gamut() -> bytes:
    """An RGB profile of Display P3's primaries and a gamma of 2.2, written by hand (ICC.1:2022, 8.3)."""

    def fixed(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(map(fixed, values))

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"
    text = b"desc\0\0\0\0" + struct.pack(">I", 3) + b"P3\0" + bytes(8 + 3 + 67 + 3)
    tags = {
        b"desc": text,
        b"wtpt": xyz(0.9505, 1.0, 1.0891),
        b"rXYZ": xyz(0.51512, 0.24120, -0.00105),
        b"gXYZ": xyz(0.29198, 0.69225, 0.04189),
        b"bXYZ": xyz(0.15710, 0.06657, 0.78407),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += name + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    illuminant = fixed(0.9642) + fixed(1.0) + fixed(0.8249)
    header = struct.pack(">I4sI4s4s4s", 0, b"lcms", 0x02100000, b"mntr", b"RGB ", b"XYZ ") + bytes(12) + b"acsp"
    header = header.ljust(68, b"\0") + illuminant
    whole = header.ljust(128, b"\0") + table + body
    return struct.pack(">I", len(whole)) + whole[4:]


def ycck_jpeg(pixels: Pixels) -> bytes:
    """What Photoshop writes: inks as YCbCr, marked by the transform byte of the Adobe segment. Pillow writes CMYK."""
    inks = Image.fromarray(255 - pixels).convert("YCbCr")
    channels = [channel.point(lambda value: 255 - value) for channel in inks.split()]
    black = Image.new("L", inks.size, 0)
    content = bytearray(saved(Image.merge("CMYK", [*channels, black]), "JPEG", quality=95))
    adobe = content.index(b"Adobe")
    assert content[adobe + 11] == 0
    content[adobe + 11] = 2
    return bytes(content)


def with_alpha(pixels: Pixels) -> Image.Image:
    """The white quarter is transparent, and magenta under that."""
    picture = Image.fromarray(np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)]))
    half = picture.width // 2
    picture.paste((255, 0, 255, 0), (half, half, picture.width, picture.height))
    return picture


def frames(kind: str) -> bytes:
    first, second = Image.fromarray(quarters()), Image.new("RGB", (200, 200), (9, 9, 9))
    return saved(first, kind, save_all=True, append_images=[second], **({"lossless": True} if kind == "WEBP" else {}))


COLOURED: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: saved(Image.fromarray(quarters()), "JPEG", quality=95),
    "jpeg, progressive": lambda: saved(Image.fromarray(quarters()), "JPEG", quality=95, progressive=True),
    "jpeg, stored as rgb": lambda: saved(Image.fromarray(quarters()), "JPEG", quality=95, keep_rgb=True),
    "jpeg, cmyk": lambda: saved(Image.fromarray(quarters()).convert("CMYK"), "JPEG", quality=95),
    "jpeg, ycck": lambda: ycck_jpeg(quarters()),
    "jpeg, large": lambda: saved(Image.fromarray(quarters(900)), "JPEG", quality=95),
    "jpeg of several pictures": lambda: frames("MPO"),
    "png": lambda: saved(Image.fromarray(quarters()), "PNG"),
    "png, palette": lambda: saved(Image.fromarray(quarters()).convert("P", palette=Image.Palette.ADAPTIVE), "PNG"),
    "png, palette with transparency": lambda: saved(with_alpha(quarters()).quantize(), "PNG"),
    "png, alpha": lambda: saved(with_alpha(quarters()), "PNG"),
    "png, 16 bits": lambda: deep_png(quarters().astype(np.uint16) * 257, 2),
    "png, animated": lambda: frames("PNG"),
    "webp": lambda: saved(Image.fromarray(quarters()), "WEBP", quality=95),
    "webp, lossless with alpha": lambda: saved(with_alpha(quarters()), "WEBP", lossless=True),
    "webp, animated": lambda: frames("WEBP"),
    "bmp": lambda: saved(Image.fromarray(quarters()), "BMP"),
    "bmp, palette": lambda: saved(Image.fromarray(quarters()).convert("P", palette=Image.Palette.ADAPTIVE), "BMP"),
    "gif": lambda: saved(Image.fromarray(quarters()), "GIF"),
    "gif, animated": lambda: frames("GIF"),
    "tiff": lambda: saved(Image.fromarray(quarters()), "TIFF"),
    "tiff, lzw, several pages": lambda: saved(
        Image.fromarray(quarters()),
        "TIFF",
        compression="tiff_lzw",
        save_all=True,
        append_images=[Image.new("L", (9, 9))],
    ),
    "tiff, cmyk": lambda: saved(Image.fromarray(quarters()).convert("CMYK"), "TIFF"),
    "tiff, alpha": lambda: saved(with_alpha(quarters()), "TIFF"),
}


@pytest.mark.parametrize("kind", COLOURED)
@pytest.mark.parametrize("size", [64, 120])
def test_every_format_and_colour_model_shows_the_same_picture(kind: str, size: int) -> None:
    found = images.picture(COLOURED[kind](), size)
    assert found.pixels.shape == (size, size, 3) and found.pixels.dtype == np.uint8
    assert near(found.pixels, images.squared(quarters(), size))
    assert found.width == found.height == (900 if "large" in kind else 200)


def ramp(side: int = 128) -> Pixels:
    return np.tile(np.linspace(0, 255, side).astype(np.uint8), (side, 1))


GREY: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: saved(Image.fromarray(ramp()), "JPEG", quality=95),
    "png": lambda: saved(Image.fromarray(ramp()), "PNG"),
    "png, 16 bits": lambda: saved(Image.fromarray(ramp().astype(np.uint16) * 257), "PNG"),
    "png, grey and alpha": lambda: saved(
        Image.merge("LA", [Image.fromarray(ramp()), Image.new("L", (128, 128), 255)]), "PNG"
    ),
    "png, 16 bits, grey and alpha": lambda: deep_png(
        np.dstack([ramp().astype(np.uint16) * 257, np.full((128, 128), 65535, np.uint16)]), 4
    ),
    "tiff, 16 bits": lambda: saved(Image.fromarray(ramp().astype(np.uint16) * 257), "TIFF"),
    "webp": lambda: saved(Image.fromarray(ramp()).convert("RGB"), "WEBP", lossless=True),
    "bmp": lambda: saved(Image.fromarray(ramp()), "BMP"),
    "gif": lambda: saved(Image.fromarray(ramp()), "GIF"),
}


@pytest.mark.parametrize("kind", GREY)
def test_grey_pictures_have_three_equal_channels(kind: str) -> None:
    found = images.read(GREY[kind](), 128)
    assert near(found, np.dstack([ramp()] * 3), 3)


def test_one_bit_pictures_are_black_and_white() -> None:
    bits = Image.fromarray(quarters()).convert("L").point(lambda value: 255 * (value > 100)).convert("1")
    found = images.read(saved(bits, "PNG"), 200)
    assert np.array_equal(np.unique(found), [0, 255])
    assert np.array_equal(found[..., 0], np.asarray(bits) * np.uint8(255))


@pytest.mark.parametrize("kind", ["LA", "transparent 16-bit grey", "transparent grey"])
def test_what_is_transparent_is_white(kind: str) -> None:
    match kind:
        case "LA":
            content = saved(Image.merge("LA", [Image.new("L", (20, 20), 40), Image.new("L", (20, 20), 0)]), "PNG")
        case "transparent grey":
            content = saved(Image.new("L", (20, 20), 40), "PNG", transparency=40)
        case _:
            pixels = np.full((20, 20), 4000, np.uint16)
            content = deep_png(pixels, 0, (b"tRNS", struct.pack(">H", 4000)))
    assert images.read(content, 20).min() == 255


TURNS = {
    1: lambda upright: upright,
    2: np.fliplr,
    3: lambda upright: np.rot90(upright, 2),
    4: np.flipud,
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: np.rot90(upright, 1),  # shown after a quarter to the right
    7: lambda upright: np.rot90(upright, 2).transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "large JPEG"])
def test_pictures_that_lie_are_turned_upright(kind: str, orientation: int) -> None:
    upright = quarters(600 if kind == "large JPEG" else 160)[: 400 if kind == "large JPEG" else 120]
    exif = Image.Exif()
    exif[images.EXIF_ORIENTATION] = orientation
    lying = Image.fromarray(np.ascontiguousarray(TURNS[orientation](upright)))
    content = saved(lying, kind.split()[-1], exif=exif, **({"quality": 95} if kind != "TIFF" else {}))
    found = images.picture(content, 100, "pad")
    assert (found.width, found.height) == (upright.shape[1], upright.shape[0])
    assert near(found.pixels, images.squared(upright, 100, "pad"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "large JPEG", "palette PNG"])
def test_colours_of_another_profile_become_srgb(kind: str) -> None:
    """Display P3's (200, 40, 40) is (220, 0, 18) in sRGB: more red than sRGB's of the same numbers."""
    side = 900 if kind == "large JPEG" else 150
    picture = Image.new("RGB", (side, side), (200, 40, 40))
    if kind == "palette PNG":
        picture = picture.convert("P", palette=Image.Palette.ADAPTIVE)
    content = saved(picture, kind.split()[-1], icc_profile=wide_gamut(), **({"quality": 95} if kind != "TIFF" else {}))
    assert near(images.read(content, 100), (220, 0, 18), 4)


def test_grey_profiles_are_converted_before_grey_becomes_rgb() -> None:
    """A gamma of 1.0: half of the light is sRGB's 188."""
    whole = bytearray(wide_gamut())
    whole[16:20] = b"GRAY"
    curve = whole.index(b"curv")
    whole[curve + 12 : curve + 14] = struct.pack(">H", 256)
    whole[:] = whole.replace(b"rTRC", b"kTRC", 1)
    content = saved(Image.new("L", (120, 120), 128), "PNG", icc_profile=bytes(whole))
    assert near(images.read(content, 50), (188, 188, 188), 2)


def test_srgb_profiles_and_damaged_or_foreign_ones_change_nothing() -> None:
    picture = Image.fromarray(quarters())
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, b"nonsense", wide_gamut()[:200]):
        assert np.array_equal(images.read(saved(picture, "PNG", icc_profile=profile), 200), quarters())
    grey = saved(Image.fromarray(ramp()), "PNG", icc_profile=wide_gamut())  # of RGB: not for grey pixels
    assert np.array_equal(images.read(grey, 128)[..., 0], ramp())
    assert colour.transform(srgb, "RGB") is None


# Geometry


def stripes(width: int, height: int) -> Pixels:
    """Each column says where it is: red counts from the left, green the other way."""
    across = np.linspace(0, 255, width).astype(np.uint8)
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[..., 0], pixels[..., 1] = across, across[::-1]
    return pixels


@pytest.mark.parametrize(("width", "height"), [(40, 20), (400, 200)])  # Pillow resizes the one, torch the other
def test_a_crop_is_the_centre_and_a_pad_is_all_of_it_between_black_bars(width: int, height: int) -> None:
    pixels = stripes(width, height)
    crop, pad = images.squared(pixels, 20), images.squared(pixels, 20, "pad")
    assert abs(int(crop[0, 0, 0]) - 66) < 6 and abs(int(crop[0, -1, 0]) - 189) < 6
    assert not pad[:5].any() and not pad[15:].any() and pad[5:15].any(-1).all()
    assert abs(int(pad[10, 0, 0]) - 6) < 6 and abs(int(pad[10, -1, 0]) - 249) < 6


def test_pillow_and_torch_resize_alike() -> None:
    """Which of the two does it depends on the size alone, and must not show."""
    small = np.random.default_rng(1).integers(0, 256, (90, 96, 3), dtype=np.uint8)
    whole = np.ascontiguousarray(np.pad(small, ((0, 0), (0, 1), (0, 0)))[:, :97])
    assert max(whole.shape) > images.SMALL >= max(small.shape)
    by_torch, by_pillow = images.squared(whole[:, :96], 40), images.squared(small, 40)
    from torch.nn.functional import interpolate

    cut = images.squared(small, 90)
    expected = interpolate(images._tensor(cut), size=(40, 40), mode="bilinear", antialias=True)[0].permute(1, 2, 0)
    assert np.abs(expected.numpy().astype(int) - by_pillow).max() <= 1
    assert np.array_equal(by_torch, by_pillow)


@pytest.mark.parametrize("square", images.SQUARES)
@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 300), (5000, 2), (300, 301), (16, 16)])
def test_every_shape_becomes_a_square(width: int, height: int, square: str) -> None:
    content = saved(Image.new("RGB", (width, height), (90, 120, 150)), "PNG")
    found = images.picture(content, 16, square)
    assert found.pixels.shape == (16, 16, 3) and (found.width, found.height) == (width, height)
    assert found.pixels.flags["C_CONTIGUOUS"]
    assert {tuple(pixel) for pixel in found.pixels.reshape(-1, 3).tolist()} <= {(90, 120, 150), (0, 0, 0)}


def test_an_unknown_square_is_an_error_of_the_caller() -> None:
    with pytest.raises(ValueError, match="crop, pad"):
        images.squared(quarters(), 20, "stretch")


def test_jpegs_at_reduced_scale_look_like_those_at_full_scale() -> None:
    noise = np.random.default_rng(2).normal(0, 12, (1200, 1600, 3))
    scene = np.clip(images.squared(quarters(), 1200)[:, :1200].repeat(2, axis=1)[:, :1600] + noise, 0, 255)
    content = saved(Image.fromarray(scene.astype(np.uint8)), "JPEG", quality=95)
    for square in images.SQUARES:
        full = images.squared(np.asarray(Image.open(io.BytesIO(content))), 200, square)
        assert np.abs(images.read(content, 200, square).astype(int) - full).mean() < 1.5


@pytest.mark.parametrize("side", [28, 32, 36, 200])  # the model's own size and the stored one are no special cases
def test_a_square_of_any_size_is_the_centre_of_its_stored_square(side: int) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (side, side, 3), dtype=np.uint8)
    for source in (pixels, saved(Image.fromarray(pixels), "PNG")):
        assert np.array_equal(images.model_input(source, 28, 32), images.squared(pixels, 32)[2:30, 2:30])


@pytest.mark.parametrize("square", images.SQUARES)
def test_a_picture_of_any_shape_is_the_centre_of_its_stored_square(square: str) -> None:
    pixels = stripes(400, 300)
    stored = images.read(saved(Image.fromarray(pixels), "PNG"), 256, square)
    for source in (pixels, saved(Image.fromarray(pixels), "PNG")):
        assert np.array_equal(images.model_input(source, 224, 256, square), stored[16:240, 16:240])
    read_only = np.frombuffer(pixels.tobytes(), dtype=np.uint8).reshape(pixels.shape)
    assert np.array_equal(images.model_input(read_only, 224, 256, square), stored[16:240, 16:240])
    assert np.array_equal(images.model_input(pixels[:, ::-1], 224, 256, square)[..., 0], stored[16:240, 16:240, 1])


def test_stored_jpegs_come_back_near_and_always_as_the_same_bytes() -> None:
    content = images.jpeg(quarters())
    assert content == images.jpeg(quarters())
    assert near(images.read(content, 200), quarters())
    assert np.array_equal(images.read(images.png(quarters()), 200), quarters())


# Refusals


@pytest.mark.parametrize("kind", [kind for kind in COLOURED if "several" not in kind and "animated" not in kind])
def test_a_file_cut_short_is_refused(kind: str) -> None:
    content = COLOURED[kind]()
    with pytest.raises(images.Unreadable, match="cut short|damaged"):
        images.read(content[: len(content) * 6 // 10], 64)


@pytest.mark.parametrize("size", [40, 150, 290])  # reduced scale in Pillow, full scale in torchvision
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_cut_short_anywhere_is_refused(size: int, progressive: bool) -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (300, 310, 3), dtype=np.uint8)
    content = saved(Image.fromarray(pixels), "JPEG", quality=90, progressive=progressive)
    images.read(content, size)
    for cut in (1, 2, 3, 10, 1000, len(content) // 2, len(content) - 700):
        with pytest.raises(images.Unreadable):
            images.read(content[:-cut], size)


def test_empty_files_and_other_files_are_refused() -> None:
    with pytest.raises(images.Unreadable, match="^the file is empty$"):
        images.read(b"", 8)
    for content in (b"name,label\n", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"%PDF-1.7\n", b"<svg/>"):
        with pytest.raises(images.Unreadable, match="^not a JPEG, PNG, WebP, BMP, GIF or TIFF picture, or damaged$"):
            images.read(content, 8)


@pytest.mark.parametrize(("width", "height"), [(8001, 8000), (10_000, 10_000), (60_000, 60_000)])
def test_more_pixels_than_allowed_are_refused_before_any_is_decoded(width: int, height: int) -> None:
    """Pillow itself warns of the second and refuses the third; the rows are missing, which nobody gets to see."""
    with pytest.raises(images.Unreadable, match=r"more than 64,000,000"):
        images.read(png_file(width, height, 8, 2, b""), 8)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_pixels_without_a_range_are_refused(mode: str) -> None:
    content = saved(Image.fromarray(np.full((9, 9), 70_000, np.float32 if mode == "F" else np.int32)), "TIFF")
    with pytest.raises(images.Unreadable, match=r"^(floating-point|32-bit) pixels have no fixed range; save"):
        images.read(content, 8)


def test_deep_grey_takes_memory_of_a_few_times_its_own() -> None:
    """64 million pixels are allowed; as whole numbers of 64 bits they took more than 1 GB in each process."""
    content = saved(Image.fromarray(np.full((500, 500), 257, np.uint16)), "TIFF")
    images.read(content, 8)
    tracemalloc.start()
    images.read(content, 8)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * 500 * 500


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_damaged_metadata_spoils_no_pixels(kind: str) -> None:
    picture = Image.fromarray(np.full((9, 9, 3), 77, np.uint8))
    assert images.read(saved(picture, kind, exif=b"Exif\0\0garbage"), 9).tolist() == np.full((9, 9, 3), 77).tolist()


def test_odd_metadata_is_no_reason_to_warn() -> None:
    """APNG's frame count of 0 makes Pillow warn; pytest would make that an error."""
    content = deep_png(np.zeros((5, 5, 3), np.uint16), 2, (b"acTL", struct.pack(">II", 0, 0)))
    assert images.read(content, 5).max() == 0


@functools.cache
def specimens() -> tuple[bytes, ...]:
    """Small files of every kind, with a profile and metadata: what a mutation begins with."""
    exif = Image.Exif()
    exif[images.EXIF_ORIENTATION] = 6
    pixels = np.random.default_rng(5).integers(0, 256, (21, 30, 3), dtype=np.uint8)
    picture, metadata = Image.fromarray(pixels), {"icc_profile": wide_gamut(), "exif": exif}
    large = Image.fromarray(quarters(130))
    return (
        saved(picture, "JPEG", **metadata),
        saved(large, "JPEG", **metadata),
        saved(large, "JPEG", progressive=True),
        saved(large.convert("CMYK"), "JPEG"),
        saved(picture, "MPO", save_all=True, append_images=[picture]),
        saved(picture, "PNG", **metadata),
        saved(picture.quantize(), "PNG", transparency=b"\x10\x80"),
        saved(Image.fromarray(ramp(20).astype(np.uint16)), "PNG"),
        saved(picture, "PNG", save_all=True, append_images=[large.resize((30, 21))]),
        saved(with_alpha(pixels), "WEBP", lossless=True, **metadata),
        saved(picture, "BMP"),
        saved(picture.quantize(), "BMP"),
        saved(picture, "GIF", save_all=True, append_images=[large.resize((30, 21))]),
        *(saved(picture, "TIFF", compression=name, **metadata) for name in (None, "tiff_lzw", "tiff_deflate", "jpeg")),
        saved(picture.convert("1"), "TIFF", compression="group4"),
    )


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A real file with bytes set, cut out, put in or the end missing; headers are hit as often as all the rest."""
    content = bytearray(draw(st.sampled_from(specimens())))
    for _ in range(draw(st.integers(1, 6))):
        reach = draw(st.sampled_from((64, len(content))))
        at = draw(st.integers(0, max(0, min(reach, len(content)) - 1)))
        match draw(st.sampled_from(("set", "set", "set", "cut", "put", "end"))):
            case "set":
                content[at : at + 1] = draw(st.binary(min_size=1, max_size=4))
            case "cut":
                del content[at : at + draw(st.integers(1, 40))]
            case "put":
                content[at:at] = draw(st.binary(min_size=1, max_size=12))
            case "end":
                del content[max(at, 8) :]
    return bytes(content)


@settings(max_examples=400, deadline=None)
@given(mutated(), st.sampled_from([8, 40]), st.sampled_from(images.SQUARES))
def test_a_damaged_file_is_read_or_refused_and_nothing_else(content: bytes, size: int, square: str) -> None:
    try:
        found = images.picture(content, size, square)
    except images.Unreadable as reason:
        assert "\n" not in str(reason) and str(reason)
    else:
        assert found.pixels.shape == (size, size, 3) and found.width > 0 and found.height > 0


def test_threads_of_a_server_see_what_one_thread_sees() -> None:
    contents = [specimen for specimen in specimens() for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda content: images.read(content, 40), contents))
    for content, pixels in zip(contents, found, strict=True):
        assert np.array_equal(pixels, images.read(content, 40))
