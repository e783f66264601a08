"""The kind `process_image` on images that a real server serves."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from jobs import files
from jobs.models import Job, Outcome, Reason, State
from tests.jobs.handlers.conftest import Runs
from tests.jobs.states import outcomes
from tests.origins import Exchange, Origin

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client")]

RED, BLUE = (255, 0, 0), (0, 0, 255)


def picture(width: int = 400, height: int = 200, mode: str = "RGB") -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (width // 2, 0, width, height))
    return image.convert(mode)


def encoded(image: Image.Image, format_: str = "PNG", **options: Any) -> bytes:
    written = io.BytesIO()
    image.save(written, format_, **options)
    return written.getvalue()


def serving(content: bytes) -> Callable[[Exchange], None]:
    def answer(exchange: Exchange) -> None:
        exchange.head(200, Content_Length=len(content), Content_Type="image/png")
        exchange.raw(content)

    return answer


def made(job: Job) -> Image.Image:
    assert job.state == State.COMPLETED, job.error
    assert job.result
    with files.opened(job.id, job.result["file"]) as file:
        image = Image.open(io.BytesIO(file.read()))
    image.load()
    assert (image.width, image.height) == (job.result["width"], job.result["height"])
    assert (image.format or "").lower() == job.result["format"]
    return image


def near(pixel: Any, colour: tuple[int, int, int]) -> bool:
    return all(abs(a - b) < 12 for a, b in zip(pixel[:3], colour, strict=True))


@pytest.mark.parametrize(
    ("operation", "size"),
    [
        ({"operation": "resize"}, (800, 400)),
        ({"operation": "resize", "width": 100}, (100, 50)),
        ({"operation": "resize", "height": 100}, (200, 100)),
        ({"operation": "resize", "width": 30, "height": 40}, (30, 40)),
        ({"operation": "thumbnail"}, (256, 128)),
        ({"operation": "thumbnail", "width": 9000}, (400, 200)),
        ({"operation": "thumbnail", "width": 100, "height": 10}, (20, 10)),
        ({"operation": "crop"}, (200, 200)),
        ({"operation": "crop", "width": 10, "height": 20, "left": 1, "top": 2}, (10, 20)),
        ({"operation": "rotate"}, (200, 400)),
        ({"operation": "rotate", "degrees": 180}, (400, 200)),
        ({"operation": "convert"}, (400, 200)),
    ],
)
@pytest.mark.parametrize(("format_", "mode"), [("JPEG", "RGB"), ("PNG", "RGBA"), ("GIF", "P"), ("TIFF", "CMYK")])
def test_each_operation_makes_an_image_of_the_right_size(
    run: Runs, operation: dict[str, Any], size: tuple[int, int], format_: str, mode: str
) -> None:
    with Origin(serving(encoded(picture(mode=mode), format_))) as origin:
        image = made(run("process_image", image_url=origin.url("/image.jpg"), **operation))
    assert image.size == size


def test_the_pixels_are_where_they_belong(run: Runs) -> None:
    with Origin(serving(encoded(picture()))) as origin:
        turned = made(run("process_image", image_url=origin.url(), operation="rotate"))
        left = made(run("process_image", image_url=origin.url(), operation="crop", left=0, top=0))
        tilted = made(run("process_image", image_url=origin.url(), operation="rotate", degrees=45, format="jpeg"))
    assert near(turned.getpixel((100, 10)), RED)  # clockwise: what was on the left is at the top
    assert near(turned.getpixel((100, 390)), BLUE)
    assert near(left.getpixel((190, 190)), RED)
    assert near(tilted.getpixel((0, 0)), (255, 255, 255))


@pytest.mark.parametrize("format_", ["jpeg", "png", "webp", "gif"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16", "F"])
def test_any_colours_convert_to_any_format(run: Runs, format_: str, mode: str) -> None:
    source = Image.new("I;16", (400, 200)) if mode == "I;16" else picture(mode=mode)
    content = encoded(source, "TIFF" if mode in ("CMYK", "F") else "PNG")
    with Origin(serving(content)) as origin:
        image = made(run("process_image", image_url=origin.url(), operation="convert", format=format_))
    assert image.format == format_.upper()


def test_transparency_becomes_white_where_the_format_has_none(run: Runs) -> None:
    with Origin(serving(encoded(Image.new("RGBA", (9, 9), (0, 0, 0, 0))))) as origin:
        image = made(run("process_image", image_url=origin.url(), operation="convert", format="jpeg"))
    assert near(image.getpixel((4, 4)), (255, 255, 255))


def test_an_image_is_turned_as_its_camera_says_and_tells_nothing_more_of_it(run: Runs) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side: turn clockwise
    exif[0x010F] = "Secret Camera"
    with Origin(serving(encoded(picture(), "JPEG", exif=exif))) as origin:
        image = made(run("process_image", image_url=origin.url(), operation="resize", width=100))
    assert image.size == (100, 200)
    assert near(image.getpixel((50, 10)), RED)
    assert dict(image.getexif()) == {}


def test_the_result_is_served_with_the_job(run: Runs) -> None:
    with Origin(serving(encoded(picture(), "JPEG"))) as origin:
        job = run("process_image", image_url=origin.url(), operation="thumbnail")
    (file,) = run.answer(f"/api/v1/jobs/{job.id}").json()["files"]
    answer = run.answer(file["path"])
    assert (answer["Content-Type"], len(b"".join(answer.streaming_content))) == ("image/jpeg", job.result["bytes"])


def png_of(width: int, height: int) -> bytes:
    """A PNG that says so of its size and has nothing in it: a bomb is as small on the way."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (png_of(8000, 8000), "pixels"),
        (png_of(60_000, 60_000), "pixels"),
        (encoded(picture())[:-40], "broken"),
        (encoded(picture(1000, 1000), "JPEG")[:3000], "broken"),
        (encoded(picture())[:20], ""),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image"),
        (b"<html>Not found</html>", "no image"),
        (b"", "no image"),
    ],
)
def test_what_is_no_honest_image_is_given_up_on(run: Runs, content: bytes, words: str) -> None:
    with Origin(serving(content)) as origin:
        job = run("process_image", image_url=origin.url(), operation="resize")
    assert (job.state, job.reason) == (State.FAILED, Reason.GAVE_UP)
    assert words in job.error
    assert files.listing(job.id) == []


def test_a_file_that_is_too_large_is_given_up_on(run: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.handlers.process_image.MOST_BYTES", 1000)
    with Origin(serving(b"x" * 1001)) as origin:
        assert "larger than 1000 bytes" in run("process_image", image_url=origin.url(), operation="crop").error


def test_a_crop_outside_the_image_is_given_up_on(run: Runs) -> None:
    with Origin(serving(encoded(picture()))) as origin:
        job = run("process_image", image_url=origin.url(), operation="crop", width=401, height=1)
        assert job.reason == Reason.GAVE_UP
        assert run("process_image", image_url=origin.url(), operation="crop", left=300).reason == Reason.GAVE_UP


def test_a_server_in_trouble_is_tried_again_and_a_missing_image_is_not(run: Runs) -> None:
    def answer(exchange: Exchange) -> None:
        if exchange.target == "/missing":
            exchange.head(404, Content_Length=0)
        elif exchange.number == 1:
            exchange.head(503, Content_Length=0)
        else:
            serving(encoded(picture()))(exchange)

    with Origin(answer) as origin:
        job = run("process_image", image_url=origin.url(), operation="thumbnail")
        assert job.state == State.RETRYING
        assert outcomes(run.again(job)) == [(1, Outcome.FAILED), (2, Outcome.COMPLETED)]
        assert run("process_image", image_url=origin.url("/missing"), operation="crop").reason == Reason.GAVE_UP


def test_a_timeout_and_a_cancel_end_the_fetch(run: Runs) -> None:
    with Origin(lambda exchange: exchange.stall()) as origin:
        job = run("process_image", image_url=origin.url(), operation="crop", options={"timeout": 0.4})
        assert outcomes(job) == [(1, Outcome.TIMED_OUT)]

    def answer(exchange: Exchange) -> None:
        run.cancel_what_runs()
        exchange.stall()

    with Origin(answer) as origin:
        assert run("process_image", image_url=origin.url(), operation="crop").state == State.CANCELLED


@pytest.mark.parametrize(
    ("payload", "pointer"),
    [
        ({"operation": "resize"}, "/payload/image_url"),
        ({"image_url": "file:///etc/passwd", "operation": "resize"}, "/payload/image_url"),
        ({"image_url": "http://127.0.0.1/", "operation": "explode"}, "/payload/operation"),
        ({"image_url": "http://127.0.0.1/", "operation": "resize", "width": 0}, "/payload/width"),
        ({"image_url": "http://127.0.0.1/", "operation": "resize", "width": 10_001}, "/payload/width"),
        ({"image_url": "http://127.0.0.1/", "operation": "rotate", "width": 10}, "/payload"),
        ({"image_url": "http://127.0.0.1/", "operation": "crop", "format": "exe"}, "/payload/format"),
    ],
)
def test_a_bad_payload_is_refused_at_the_door(run: Runs, payload: dict[str, Any], pointer: str) -> None:
    assert run.refused("process_image", **payload) == [pointer]
