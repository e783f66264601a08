"""The kind `process_image`: fetch an image, do one thing to it, keep what comes out as a result file.

Runs in a process of its own, as decoding does not listen to anybody: where it takes too long, the process is killed.
What is fetched is taken for hostile: its size, its pixels and its kind are looked at before it is decoded.
"""

from __future__ import annotations

import io
import struct
from typing import Any, Literal

from PIL import Image, ImageOps, UnidentifiedImageError
from pydantic import BaseModel, ConfigDict, Field, model_validator

from jobs.calling import Url, call, is_permanent, judge
from jobs.kinds import Context, GiveUp, handler

MOST_BYTES = 32 * 1024 * 1024
MOST_PIXELS = 50_000_000  # 200 MB of memory once decoded
LONGEST_SIDE = 10_000
_READ = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
_EXTENSIONS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif"}
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error)
_BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)
_WITHOUT_TRANSPARENCY = frozenset({"JPEG"})
_DEFAULT_WIDTH, _DEFAULT_THUMBNAIL = 800, 256

Image.MAX_IMAGE_PIXELS = MOST_PIXELS

Side = Field(default=None, ge=1, le=LONGEST_SIDE)


class ImageJob(BaseModel):
    """What to do to which image. Parameters that an operation does not use are refused."""

    model_config = ConfigDict(extra="forbid")

    image_url: Url
    operation: Literal["resize", "crop", "convert", "thumbnail", "rotate"]
    width: int | None = Side
    height: int | None = Side
    left: int | None = Field(default=None, ge=0, description="Of a crop; in the middle if left out.")
    top: int | None = Field(default=None, ge=0)
    degrees: float | None = Field(default=None, ge=-360, le=360, description="Of a rotation, clockwise; 90.")
    format: Literal["jpeg", "png", "webp", "gif"] | None = Field(
        default=None, description="Of the result; that of the source if left out, for convert webp."
    )
    quality: int = Field(default=85, ge=1, le=95, description="Of jpeg and webp.")

    @model_validator(mode="after")
    def parameters_fit(self) -> ImageJob:
        used = {
            "resize": {"width", "height"},
            "thumbnail": {"width", "height"},
            "crop": {"width", "height", "left", "top"},
            "rotate": {"degrees"},
            "convert": set(),
        }[self.operation]
        own = {"image_url", "operation", "format", "quality"}
        if strange := sorted(name for name in self.model_fields_set - used - own if getattr(self, name) is not None):
            raise ValueError(f"{self.operation} does not use {', '.join(strange)}")
        return self


@handler("process_image", timeout=300)
def process_image(payload: ImageJob, ctx: Context) -> dict[str, Any]:
    """Fetch an image and resize, crop, convert, rotate it or make a thumbnail. The result is kept as a file."""
    answer = call(
        ctx,
        "GET",
        payload.image_url,
        headers={"User-Agent": "Haulway", "Accept": "image/*"},
        timeout=60,
        max_bytes=MOST_BYTES,
    )
    judge(answer, fits=lambda status: status == 200, permanent=is_permanent)
    if answer.truncated:
        raise GiveUp(f"The image is larger than {MOST_BYTES} bytes.")
    ctx.progress(0.3, "decoding")
    source, format_ = _decoded(answer.body)
    wanted = payload.format or ("webp" if payload.operation == "convert" else format_)
    format_ = wanted.upper() if wanted.upper() in _EXTENSIONS else "PNG"
    ctx.progress(0.6, payload.operation)
    made = _fitting(_OPERATIONS[payload.operation](source, payload), format_)
    name = f"image.{_EXTENSIONS[format_]}"
    with ctx.files.write(name) as file:
        made.save(file, format_, icc_profile=source.info.get("icc_profile"), **_options(format_, payload.quality))
        size = file.tell()
    return {"file": name, "format": format_.lower(), "width": made.width, "height": made.height, "bytes": size}


def _decoded(content: bytes) -> tuple[Image.Image, str]:
    """The image as people see it, turned as its camera says, and its format. Raises GiveUp for all that is none."""
    try:
        image = Image.open(io.BytesIO(content), formats=_READ)
        format_ = image.format or ""
        if image.width * image.height > MOST_PIXELS:
            raise GiveUp(_too_many_pixels(image.width, image.height))
        image.load()
        return ImageOps.exif_transpose(image), format_
    except _BOMB:
        raise GiveUp(f"The image has more than {MOST_PIXELS} pixels.") from None
    except UnidentifiedImageError:
        raise GiveUp(f"The server sent no image of a known kind ({', '.join(_READ)}).") from None
    except _BROKEN as error:
        raise GiveUp(f"The image is broken: {error}") from None


def _too_many_pixels(width: int, height: int) -> str:
    return f"{width} x {height} are more than {MOST_PIXELS} pixels."


def _resized(image: Image.Image, payload: ImageJob) -> Image.Image:
    """To width and height; where one is left out, in proportion to the other."""
    width, height = payload.width, payload.height
    if width is None and height is None:
        width = _DEFAULT_WIDTH
    if width is None:
        assert height is not None
        width = round(image.width * height / image.height)
    if height is None:
        height = round(image.height * width / image.width)
    width, height = max(1, width), max(1, height)
    if width * height > MOST_PIXELS:
        raise GiveUp(_too_many_pixels(width, height))
    return _smooth(image).resize((width, height), Image.Resampling.LANCZOS)


def _thumbnail(image: Image.Image, payload: ImageJob) -> Image.Image:
    """As large as fits into width and height, never larger than it is."""
    small = _smooth(image)
    width, height = payload.width, payload.height
    box = (width or height or _DEFAULT_THUMBNAIL, height or width or _DEFAULT_THUMBNAIL)
    small.thumbnail(box, Image.Resampling.LANCZOS)
    return small


def _cropped(image: Image.Image, payload: ImageJob) -> Image.Image:
    """Width by height from left and top; the middle of the image where they are left out, and a square by default."""
    square = min(image.size)
    width, height = payload.width or square, payload.height or square
    left = (image.width - width) // 2 if payload.left is None else payload.left
    top = (image.height - height) // 2 if payload.top is None else payload.top
    if left < 0 or top < 0 or left + width > image.width or top + height > image.height:
        raise GiveUp(f"{width} x {height} from {left}, {top} is outside the image of {image.width} x {image.height}.")
    return image.crop((left, top, left + width, top + height))


def _rotated(image: Image.Image, payload: ImageJob) -> Image.Image:
    """Clockwise; the corners that come free are transparent, or white."""
    degrees = 90.0 if payload.degrees is None else payload.degrees
    if degrees % 90 == 0:
        return image.rotate(-degrees, expand=True)
    return image.convert("RGBA").rotate(-degrees, Image.Resampling.BICUBIC, expand=True)


def _as_it_is(image: Image.Image, _payload: ImageJob) -> Image.Image:
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
