"""The kind `send_email`: one message over whatever EMAIL_URL names."""

from __future__ import annotations

import smtplib
import threading
import uuid
from email.utils import parseaddr
from typing import Annotated, Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives
from django.core.validators import validate_email
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from jobs import files
from jobs.access.callers import of_owner
from jobs.access.roles import within_reach
from jobs.kinds import Context, GiveUp, Lane, handler
from jobs.models import Job

_MOST_ATTACHED = 20 * 1024 * 1024  # bytes; more is refused by most mail servers
_LOOK = 0.2  # seconds between two looks at whether the attempt must end


def _deliverable(address: str) -> str:
    try:
        validate_email(address)
    except ValidationError:
        raise ValueError("must be one plain address, such as ada@example.com") from None
    return address


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be one line, without control characters")
    return text


Address = Annotated[str, StringConstraints(max_length=320), AfterValidator(_deliverable)]
Line = Annotated[str, StringConstraints(max_length=900), AfterValidator(_one_line)]
Addresses = Annotated[list[Address], Field(max_length=100)]


class Attachment(BaseModel):
    """A result file of some job."""

    model_config = ConfigDict(extra="forbid")

    job: uuid.UUID
    file: Line


class Email(BaseModel):
    """One message."""

    model_config = ConfigDict(extra="forbid")

    recipient: Address
    subject: Line
    body: str = Field(description="As plain text.")
    html: str | None = Field(default=None, description="The same as HTML, for programs that show it.")
    cc: Addresses = Field(default_factory=list)
    bcc: Addresses = Field(default_factory=list)
    reply_to: Address | None = None
    attachments: list[Attachment] = Field(default_factory=list, max_length=20)


@handler("send_email", lane=Lane.IO, timeout=300)
def send_email(payload: Email, ctx: Context) -> dict[str, Any]:
    """Send an email. Its Message-ID is that of the job, so that a repeat can be known as one."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
    message_id = f"<{ctx.idempotency_key}@{domain}>"
    message = EmailMultiAlternatives(
        subject=payload.subject,
        body=payload.body,
        to=[payload.recipient],
        cc=payload.cc,
        bcc=payload.bcc,
        reply_to=[payload.reply_to] if payload.reply_to else None,
        headers={"Message-ID": message_id},
    )
    if payload.html is not None:
        message.attach_alternative(payload.html, "text/html")
    for name, content in _attached(payload.attachments, ctx):
        message.attach(name, content)
    _send(message, ctx)
    return {"message_id": message_id, "recipients": len(message.recipients())}


def _attached(attachments: list[Attachment], ctx: Context) -> list[tuple[str, bytes]]:
    found, room = [], _MOST_ATTACHED
    seen = _seen_by_owner([one.job for one in attachments], ctx) if attachments else set()
    for one in attachments:
        try:
            if one.job not in seen:
                raise FileNotFoundError
            with files.opened(one.job, one.file) as file:
                content = file.read(room + 1)
        except OSError:
            raise GiveUp(f"Job {one.job} has no result file {one.file!r}.") from None
        room -= len(content)
        if room < 0:
            raise GiveUp(f"The attachments are larger than {_MOST_ATTACHED} bytes.")
        found.append((one.file, content))
    return found


def _seen_by_owner(ids: list[uuid.UUID], ctx: Context) -> set[uuid.UUID]:
    """Those of these jobs that the owner of this one may see, and so may send the files of."""
    rows = within_reach(of_owner(ctx.owner), Job.objects.filter(id__in=ids))
    return set(rows.values_list("id", flat=True))


def _send(message: EmailMultiAlternatives, ctx: Context) -> None:
    """In a thread of its own, because nothing can interrupt the libraries below: an attempt that must end leaves it.

    Whether the message still goes out is then as unknown as it always is when the last answer of a mail server is lost.
    """
    failures: list[Exception] = []

    def send() -> None:
        try:
            message.send()
        except Exception as error:  # noqa: BLE001 - raised again by the thread that waits
            failures.append(error)

    sender = threading.Thread(target=send, name=f"mail-{ctx.job_id}", daemon=True)
    sender.start()
    while True:
        sender.join(_LOOK)
        if not sender.is_alive():
            break
        ctx.check()
    if failures:
        raise _verdict(failures[0])


def _verdict(error: Exception) -> Exception:
    """GiveUp where the mail server says that this message will never go; else the error as it is, to be tried again."""
    match error:
        case smtplib.SMTPRecipientsRefused():
            replies = {address: reply for address, (_, reply) in error.recipients.items()}
            if all(code >= 500 for code, _ in error.recipients.values()):
                return GiveUp(f"The mail server refuses the recipients: {replies}")
        case smtplib.SMTPSenderRefused() | smtplib.SMTPDataError() if error.smtp_code >= 500:
            return GiveUp(f"The mail server refuses the message: {error.smtp_code} {error.smtp_error!r}")
    return error
