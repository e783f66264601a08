"""The kind `send_email` against a real mail server."""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from pytest_django.fixtures import Settings

from jobs import files, lifecycle
from jobs.models import Outcome, Reason, State
from tests.jobs.handlers.conftest import Runs
from tests.jobs.states import outcomes

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client")]

MAIL: dict[str, Any] = {"recipient": "ada@example.com", "subject": "Hello World", "body": "This is a test email"}


class Mailbox:
    """Takes mail, unless `refuse` has an answer to a recipient."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.refuse: Callable[[str], str | None] = lambda address: None

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if reply := self.refuse(address):
            return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        self.messages.append(message_from_bytes(envelope.content, policy=policy.default))
        self.recipients.append(envelope.rcpt_tos)
        return "250 OK"


@pytest.fixture
def mailbox(settings: Settings) -> Iterator[Mailbox]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    _deliver_to(settings, port)
    yield box
    controller.stop()


def _deliver_to(settings: Settings, port: int) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
    settings.DEFAULT_FROM_EMAIL = "Haulway <jobs@example.org>"


@contextmanager
def silent_server(settings: Settings) -> Iterator[socket.socket]:
    """A mail server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        _deliver_to(settings, listener.getsockname()[1])
        yield listener


def test_a_message_arrives(run: Runs, mailbox: Mailbox) -> None:
    job = run("send_email", **MAIL, html="<p>This is a test email</p>", cc=["bob@example.com"], bcc=["eve@example.com"])
    assert job.state == State.COMPLETED, job.error
    (message,) = mailbox.messages
    assert (message["To"], message["Cc"], message["Bcc"]) == ("ada@example.com", "bob@example.com", None)
    assert (message["Subject"], message["From"]) == ("Hello World", "Haulway <jobs@example.org>")
    assert message["Message-ID"] == f"<{job.id}@example.org>" == job.result["message_id"]
    parts = {part.get_content_type(): part.get_content().strip() for part in message.walk() if not part.is_multipart()}
    assert parts == {"text/plain": "This is a test email", "text/html": "<p>This is a test email</p>"}
    assert mailbox.recipients == [["ada@example.com", "bob@example.com", "eve@example.com"]]


def test_result_files_of_other_jobs_can_be_attached(run: Runs, mailbox: Mailbox, tmp_path: Path) -> None:
    other = lifecycle.submit("echo")
    folder = tmp_path / "root" / files.FOLDER / str(other.id)
    folder.mkdir(parents=True)
    (folder / "report.csv").write_bytes(b"a,b\r\n1,2\r\n")
    run("send_email", **MAIL, attachments=[{"job": str(other.id), "file": "report.csv"}])
    (attached,) = mailbox.messages[0].iter_attachments()
    assert (attached.get_filename(), attached.get_content_type()) == ("report.csv", "text/csv")
    assert attached.get_payload(decode=True).replace(b"\r\n", b"\n") == b"a,b\n1,2\n"  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["nothing.csv", "../secret", "/etc/passwd"])
def test_an_attachment_that_is_not_there_is_given_up_on(run: Runs, mailbox: Mailbox, name: str) -> None:
    job = run("send_email", **MAIL, attachments=[{"job": str(uuid.uuid4()), "file": name}])
    assert (job.state, job.reason, mailbox.messages) == (State.FAILED, Reason.GAVE_UP, [])
    assert name in job.error


def test_attachments_together_have_a_limit(run: Runs, mailbox: Mailbox, tmp_path: Path) -> None:
    other = lifecycle.submit("echo")
    folder = tmp_path / "root" / files.FOLDER / str(other.id)
    folder.mkdir(parents=True)
    (folder / "big").write_bytes(b"x" * (11 * 1024 * 1024))
    job = run("send_email", **MAIL, attachments=[{"job": str(other.id), "file": "big"}] * 2)
    assert (job.reason, mailbox.messages) == (Reason.GAVE_UP, [])


def test_a_server_that_is_busy_gets_the_same_message_again(run: Runs, mailbox: Mailbox) -> None:
    mailbox.refuse = lambda address: "450 come back later"
    job = run("send_email", **MAIL)
    assert job.state == State.RETRYING
    mailbox.refuse = lambda address: None
    job = run.again(job)
    assert outcomes(job) == [(1, Outcome.FAILED), (2, Outcome.COMPLETED)]
    assert mailbox.messages[0]["Message-ID"] == f"<{job.id}@example.org>"


def test_a_recipient_that_does_not_exist_is_given_up_on(run: Runs, mailbox: Mailbox) -> None:
    mailbox.refuse = lambda address: "550 no such user"
    job = run("send_email", **MAIL)
    assert (job.state, job.reason) == (State.FAILED, Reason.GAVE_UP)
    assert "no such user" in job.error


def test_a_server_that_is_away_is_tried_again(run: Runs, settings: Settings) -> None:
    with silent_server(settings):
        pass
    assert run("send_email", **MAIL).state == State.RETRYING


def test_the_timeout_of_the_job_ends_the_wait_for_a_silent_server(run: Runs, settings: Settings) -> None:
    settings.EMAIL_TIMEOUT = 5
    with silent_server(settings):
        job = run("send_email", **MAIL, options={"timeout": 0.4, "max_retries": 0})
    assert (job.reason, outcomes(job)) == (Reason.TIMED_OUT, [(1, Outcome.TIMED_OUT)])


def test_a_cancel_ends_the_wait_for_a_silent_server(run: Runs, settings: Settings) -> None:
    settings.EMAIL_TIMEOUT = 5
    with silent_server(settings) as listener:

        def cancel_once_connected() -> None:
            connection, _ = listener.accept()
            run.cancel_what_runs()
            connection.recv(1)  # until the sender is left alone and its own time is over
            connection.close()

        server = threading.Thread(target=cancel_once_connected)
        server.start()
        job = run("send_email", **MAIL)
        server.join()
    assert (job.state, outcomes(job)) == (State.CANCELLED, [(1, Outcome.CANCELLED)])


def test_by_default_mail_is_kept_in_files(run: Runs, settings: Settings, tmp_path: Path) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path / "mail")
    assert run("send_email", **MAIL).state == State.COMPLETED
    (file,) = (tmp_path / "mail").iterdir()
    assert "Subject: Hello World" in file.read_text()


@pytest.mark.parametrize(
    ("payload", "pointer"),
    [
        ({"recipient": "nobody"}, "/payload/recipient"),
        ({"recipient": "ada@example.com\nBcc: eve@example.com"}, "/payload/recipient"),
        ({"recipient": "ada@example.com, eve@example.com"}, "/payload/recipient"),
        ({"subject": "Hello\r\nBcc: eve@example.com"}, "/payload/subject"),
        ({"subject": "Hello\u2028there"}, "/payload/subject"),
        ({"cc": ["a@b\r\nX: y"]}, "/payload/cc/0"),
        ({"reply_to": "a@b.c\nX: y"}, "/payload/reply_to"),
        ({"body": None}, "/payload/body"),
        ({"attachments": [{"job": "no id", "file": "x"}]}, "/payload/attachments/0/job"),
        ({"attachments": [{"job": str(uuid.uuid4()), "file": "x\ny"}]}, "/payload/attachments/0/file"),
        ({"from": "boss@example.com"}, "/payload/from"),
    ],
)
def test_a_bad_payload_is_refused_at_the_door(run: Runs, payload: dict[str, Any], pointer: str) -> None:
    assert pointer in run.refused("send_email", **(MAIL | payload))
