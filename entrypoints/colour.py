"""Colour profiles: pixels of another colour space become sRGB, which is what networks are trained on."""

from __future__ import annotations

import functools
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

SPACES = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}  # Pillow's mode: ICC.1:2022, table 19
CACHED = 16  # transforms: a data set holds few profiles, and a camera's is half a kilobyte
SAME = 2  # of 255: profiles that move no colour further are sRGB under another name


def managed(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """An RGB, grey (L) or CMYK picture as sRGB. A damaged or a foreign profile is left out, as browsers do."""
    found = transform(profile, picture.mode) if profile else None
    if found is None:
        return picture.convert("RGB")
    converted = ImageCms.applyTransform(picture, found)
    assert converted is not None  # None is the answer of inPlace=True alone
    return converted


def managed_pixels(pixels: NDArray[np.uint8], profile: bytes | None) -> NDArray[np.uint8]:
    """(H, W, 3) of an RGB profile as sRGB."""
    if not profile or transform(profile, "RGB") is None:
        return pixels
    return np.asarray(managed(Image.fromarray(pixels), profile))


@functools.lru_cache(maxsize=CACHED)
def transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """None where nothing is to convert: the profile is sRGB, damaged, or of another kind than the pixels."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != SPACES[mode]:
            return None
        found = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (OSError, ValueError, TypeError, ImageCms.PyCMSError):
        return None
    return None if mode == "RGB" and _moves(found) <= SAME else found


def _moves(found: ImageCms.ImageCmsTransform) -> int:
    """The largest change of any channel over a lattice of colours: names of profiles say little, this says all."""
    levels = np.linspace(0, 255, 9).astype(np.uint8)
    lattice = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(27, 27, 3)
    converted = ImageCms.applyTransform(Image.fromarray(lattice), found)
    return int(np.abs(np.asarray(converted).astype(int) - lattice).max())
