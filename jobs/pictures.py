"""Pictures: opened with suspicion, changed as asked, saved in a format that others read.

Imported by who has a picture in hand, and by nobody before: Pillow takes megabytes of every process.
"""

from __future__ import annotations

import io
import struct
from typing import Any, BinaryIO, Protocol

from PIL import Image, ImageOps, UnidentifiedImageError

MOST_PIXELS = 50_000_000  # 200 MB of memory once decoded
EXTENSIONS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif"}
_READ = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error)
_BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)
_WITHOUT_TRANSPARENCY = frozenset({"JPEG"})
_DEFAULT_WIDTH, _DEFAULT_THUMBNAIL = 800, 256

Image.MAX_IMAGE_PIXELS = MOST_PIXELS


class Unusable(Exception):
    """A picture that cannot be opened, or cannot be changed in that way. The message says why."""


class Wanted(Protocol):
    """What to do to a picture; sides and offsets are in pixels, degrees clockwise."""

    @property
    def operation(self) -> str: ...
    @property
    def width(self) -> int | None: ...
    @property
    def height(self) -> int | None: ...
    @property
    def left(self) -> int | None: ...
    @property
    def top(self) -> int | None: ...
    @property
    def degrees(self) -> float | None: ...


def changed(image: Image.Image, wanted: Wanted) -> Image.Image:
    """Raises Unusable."""
    return _OPERATIONS[wanted.operation](image, wanted)


def save(made: Image.Image, file: BinaryIO, format_: str, *, quality: int, source: Image.Image) -> None:
    """In colours that the format has, with the colour profile of its source."""
    profile = source.info.get("icc_profile")
    _fitting(made, format_).save(file, format_, icc_profile=profile, **_options(format_, quality))


def opened(content: bytes) -> tuple[Image.Image, str]:
    """The image as people see it, turned as its camera says, and its format. Raises Unusable for all that is none."""
    try:
        image = Image.open(io.BytesIO(content), formats=_READ)
        format_ = image.format or ""
        if image.width * image.height > MOST_PIXELS:
            raise Unusable(_too_many_pixels(image.width, image.height))
        image.load()
        return ImageOps.exif_transpose(image), format_
    except _BOMB:
        raise Unusable(f"The image has more than {MOST_PIXELS} pixels.") from None
    except UnidentifiedImageError:
        raise Unusable(f"The server sent no image of a known kind ({', '.join(_READ)}).") from None
    except _BROKEN as error:
        raise Unusable(f"The image is broken: {error}") from None


def _too_many_pixels(width: int, height: int) -> str:
    return f"{width} x {height} are more than {MOST_PIXELS} pixels."


def _resized(image: Image.Image, wanted: Wanted) -> Image.Image:
    """To width and height; where one is left out, in proportion to the other."""
    width, height = wanted.width, wanted.height
    if width is None and height is None:
        width = _DEFAULT_WIDTH
    if width is None:
        assert height is not None
        width = round(image.width * height / image.height)
    if height is None:
        height = round(image.height * width / image.width)
    width, height = max(1, width), max(1, height)
    if width * height > MOST_PIXELS:
        raise Unusable(_too_many_pixels(width, height))
    return _smooth(image).resize((width, height), Image.Resampling.LANCZOS)


def _thumbnail(image: Image.Image, wanted: Wanted) -> Image.Image:
    """As large as fits into width and height, never larger than it is."""
    small = _smooth(image)
    width, height = wanted.width, wanted.height
    box = (width or height or _DEFAULT_THUMBNAIL, height or width or _DEFAULT_THUMBNAIL)
    small.thumbnail(box, Image.Resampling.LANCZOS)
    return small


def _cropped(image: Image.Image, wanted: Wanted) -> Image.Image:
    """Width by height from left and top; the middle of the image where they are left out, and a square by default."""
    square = min(image.size)
    width, height = wanted.width or square, wanted.height or square
    left = (image.width - width) // 2 if wanted.left is None else wanted.left
    top = (image.height - height) // 2 if wanted.top is None else wanted.top
    if left < 0 or top < 0 or left + width > image.width or top + height > image.height:
        raise Unusable(f"{width} x {height} from {left}, {top} is outside the image of {image.width} x {image.height}.")
    return image.crop((left, top, left + width, top + height))


def _rotated(image: Image.Image, wanted: Wanted) -> Image.Image:
    """Clockwise; the corners that come free are transparent, or white."""
    degrees = 90.0 if wanted.degrees is None else wanted.degrees
    if degrees % 90 == 0:
        return image.rotate(-degrees, expand=True)
    return image.convert("RGBA").rotate(-degrees, Image.Resampling.BICUBIC, expand=True)


def _as_it_is(image: Image.Image, _wanted: Wanted) -> Image.Image:
    return image


_OPERATIONS = {
    "resize": _resized,
    "thumbnail": _thumbnail,
    "crop": _cropped,
    "rotate": _rotated,
    "convert": _as_it_is,
}


def _smooth(image: Image.Image) -> Image.Image:
    """A copy in colours that can be mixed: those of a palette cannot."""
    if image.mode in ("P", "1"):
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    return image.copy()


def _fitting(image: Image.Image, format_: str) -> Image.Image:
    """In colours that the format has."""
    if format_ in _WITHOUT_TRANSPARENCY:
        if image.has_transparency_data:
            image = image.convert("RGBA")
            ground = Image.new("RGBA", image.size, "white")
            return Image.alpha_composite(ground, image).convert("RGB")
        return image if image.mode in ("L", "RGB") else image.convert("RGB")
    if image.mode in ("L", "P", "RGB", "RGBA"):
        return image
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _options(format_: str, quality: int) -> dict[str, Any]:
    return {"JPEG": {"quality": quality, "optimize": True}, "WEBP": {"quality": quality}}.get(format_, {})
