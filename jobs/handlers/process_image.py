"""The kind `process_image`: fetch an image, do one thing to it, keep what comes out as a result file.

Runs in a process of its own, as decoding does not listen to anybody: where it takes too long, the process is killed.
What is fetched is taken for hostile: its size, its pixels and its kind are looked at before it is decoded.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from jobs.calling import Url, call, is_permanent, judge
from jobs.kinds import Context, GiveUp, handler

MOST_BYTES = 32 * 1024 * 1024
LONGEST_SIDE = 10_000

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
    from jobs import pictures  # noqa: PLC0415 - see there

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
    try:
        source, format_ = pictures.opened(answer.body)
        wanted = payload.format or ("webp" if payload.operation == "convert" else format_)
        format_ = wanted.upper() if wanted.upper() in pictures.EXTENSIONS else "PNG"
        ctx.progress(0.6, payload.operation)
        made = pictures.changed(source, payload)
    except pictures.Unusable as unusable:
        raise GiveUp(str(unusable)) from None
    name = f"image.{pictures.EXTENSIONS[format_]}"
    with ctx.files.write(name) as file:
        pictures.save(made, file, format_, quality=payload.quality, source=source)
        size = file.tell()
    return {"file": name, "format": format_.lower(), "width": made.width, "height": made.height, "bytes": size}
