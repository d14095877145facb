"""The carrier between real ends: documents in the Firestore emulator, and SMTP servers that take mail or do not."""

import email.policy
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from google.cloud.firestore import Client, DocumentReference

from functions.adapters.clock import SystemClock
from local.carrier import Carrier, parse_smtp
from local.carrier.documents import Undelivered, next_step
from local.carrier.letter import compose
from local.processes import LOOPBACK, free_ports

Json = dict[str, Any]
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
SENDER = "見本の店 <shop@example.com>"
MESSAGE = {"subject": "ご注文ありがとうございます", "text": "佐藤様\n14 個", "html": "<p>佐藤様</p>"}
INVALID = "ValidationError: Invalid email configuration:"
INVALID_MESSAGE = "ValidationError: Invalid message configuration:"
UNSUBSCRIBE = f"<https://example.com/unsubscribe?token={'x' * 200}>"


@dataclass
class Mailbox:
    """An SMTP server's end: keeps what it was given, and answers as it was told."""

    answer: str = "250 Message accepted for delivery"
    refused: tuple[str, ...] = ()
    senders_refused: bool = False
    contents: list[bytes] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    address: tuple[str, int] = (LOOPBACK, 0)

    async def handle_MAIL(  # noqa: N802 -- the name is aiosmtpd's
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "451 Not now" if self.senders_refused else "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.refused:
            return "550 No such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        self.contents.append(envelope.content)
        self.recipients.append([str(each) for each in envelope.rcpt_tos])
        return self.answer

    def mails(self) -> list[EmailMessage]:
        return [email.message_from_bytes(each, policy=email.policy.default) for each in self.contents]


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    handler = Mailbox()
    handler.address = (LOOPBACK, free_ports(1)[0])
    controller = Controller(handler, hostname=LOOPBACK, port=handler.address[1], enable_SMTPUTF8=True)
    controller.start()
    yield handler
    controller.stop()


@contextmanager
def saying(greeting: bytes) -> Iterator[tuple[str, int]]:
    """A server that says one thing and hangs up."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(greeting)

    with socketserver.ThreadingTCPServer((LOOPBACK, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield (LOOPBACK, server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


def carrier(client: Client, smtp: tuple[str, int], seconds: float = 10) -> Carrier:
    return Carrier(client, "mail", smtp, SENDER, SystemClock(), poll_seconds=0.02, smtp_timeout_seconds=seconds)


def write(client: Client, document: Json | None = None, name: str = "order_paid_cs_1") -> DocumentReference:
    reference = client.collection("mail").document(name)
    reference.set({"to": ["hana@example.com"], "message": MESSAGE} if document is None else document)
    return reference


def until(reference: DocumentReference, condition: Callable[[Json], bool]) -> Json:
    deadline = time.monotonic() + 20
    while True:
        delivery: Json = (reference.get().to_dict() or {}).get("delivery") or {}
        if delivery and condition(delivery):
            return delivery
        assert time.monotonic() < deadline, delivery
        time.sleep(0.02)


def ended(reference: DocumentReference, attempts: int = 1) -> Json:
    """Its `delivery` once so many attempts were made."""
    return until(reference, lambda delivery: delivery["attempts"] == attempts)


def looked_at_everything(client: Client) -> None:
    """Returns after the carrier has attended to whatever was written before: the last name is attended to last."""
    ended(write(client, name="zzz"))


def test_a_pending_mail_is_delivered_once_as_it_was_written(firestore_client: Client, mailbox: Mailbox) -> None:
    document = {
        "to": ["佐藤 花子 <hana@example.com>"],
        "replyTo": "support@example.com",
        "headers": {"List-Unsubscribe": UNSUBSCRIBE, "X-Fact": "order_paid_cs_1"},
        "message": MESSAGE,
        "template_version": 3,
    }
    with carrier(firestore_client, mailbox.address):
        reference = write(firestore_client, document)
        delivery = ended(reference)
        looked_at_everything(firestore_client)
    mail, _ = mailbox.mails()
    assert mail["Subject"] == MESSAGE["subject"]
    assert mail["From"] == SENDER
    assert mail["To"] == "佐藤 花子 <hana@example.com>"
    assert mail["Reply-To"] == "support@example.com"
    assert mail["X-Fact"] == "order_paid_cs_1"
    assert f"List-Unsubscribe: {UNSUBSCRIBE}\r\n".encode() in mailbox.contents[0]
    assert [part.get_content_type() for part in mail.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content().splitlines() == ["佐藤様", "14 個"]
    assert html.get_content().splitlines() == ["<p>佐藤様</p>"]
    assert text.get_content_charset() == html.get_content_charset() == "utf-8"
    assert delivery["state"] == "SUCCESS"
    assert delivery["error"] is delivery["leaseExpireTime"] is None
    assert delivery["startTime"] <= delivery["endTime"]
    assert delivery["info"] == {
        "messageId": mail["Message-ID"],
        "accepted": ["hana@example.com"],
        "rejected": [],
        "pending": [],
        "response": "250 Message accepted for delivery",
    }
    assert {key: value for key, value in (reference.get().to_dict() or {}).items() if key != "delivery"} == document


def test_the_sender_of_the_document_goes_before_the_default_one(firestore_client: Client, mailbox: Mailbox) -> None:
    document = {"to": "hana@example.com", "from": "Billing <billing@example.com>", "message": MESSAGE}
    with carrier(firestore_client, mailbox.address):
        ended(write(firestore_client, document))
    [mail] = mailbox.mails()
    assert mail["From"] == "Billing <billing@example.com>"


def test_copies_go_to_everybody_and_blind_ones_are_not_named(firestore_client: Client, mailbox: Mailbox) -> None:
    document = {"to": "a@example.com", "cc": ["b@example.com"], "bcc": "c@example.com", "message": MESSAGE}
    with carrier(firestore_client, mailbox.address):
        ended(write(firestore_client, document))
    assert mailbox.recipients == [["a@example.com", "b@example.com", "c@example.com"]]
    assert b"c@example.com" not in mailbox.contents[0]


def test_addresses_outside_ascii_arrive(firestore_client: Client, mailbox: Mailbox) -> None:
    document = {"to": ["花子@example.com", "hana@例え.jp"], "message": MESSAGE}
    with carrier(firestore_client, mailbox.address):
        delivery = ended(write(firestore_client, document))
    assert (delivery["state"], delivery["error"]) == ("SUCCESS", None)
    assert mailbox.recipients == [["花子@example.com", "hana@xn--r8jz45g.jp"]]


def test_mail_that_waited_for_the_carrier_goes_out(firestore_client: Client, mailbox: Mailbox) -> None:
    reference = write(firestore_client)
    with carrier(firestore_client, mailbox.address):
        assert ended(reference)["state"] == "SUCCESS"


def test_two_carriers_at_once_deliver_each_mail_once(firestore_client: Client, mailbox: Mailbox, project: str) -> None:
    names = [f"order_paid_cs_{number:02}" for number in range(12)]
    with carrier(firestore_client, mailbox.address), carrier(Client(project=project), mailbox.address):
        references = [write(firestore_client, name=name) for name in names]
        states = {ended(reference)["state"] for reference in references}
        looked_at_everything(firestore_client)
    assert states == {"SUCCESS"}
    assert len(mailbox.contents) == len(names) + 1


@pytest.mark.parametrize("answer", ["451 Try again later", "550 Mailbox unavailable"])
def test_a_refused_mail_is_an_error_until_somebody_says_retry(
    firestore_client: Client, mailbox: Mailbox, answer: str
) -> None:
    mailbox.answer = answer
    with carrier(firestore_client, mailbox.address):
        reference = write(firestore_client)
        delivery = ended(reference)
        assert delivery["state"] == "ERROR"
        assert delivery["error"] == f"Error: Message failed: {answer}"
        assert delivery["leaseExpireTime"] is None
        assert delivery["endTime"] >= delivery["startTime"]
        assert "info" not in delivery

        mailbox.answer = "250 OK"
        reference.update({"note": "a write alone is no reason"})
        looked_at_everything(firestore_client)
        assert ended(reference)["state"] == "ERROR"

        reference.update({"delivery.state": "RETRY"})
        delivery = ended(reference, attempts=2)
        assert (delivery["state"], delivery["error"]) == ("SUCCESS", None)
    assert len(mailbox.contents) == 3


def test_a_recipient_that_is_refused_does_not_stop_the_others(firestore_client: Client, mailbox: Mailbox) -> None:
    mailbox.refused = ("kenji@example.com",)
    with carrier(firestore_client, mailbox.address):
        delivery = ended(write(firestore_client, {"to": ["hana@example.com", "kenji@example.com"], "message": MESSAGE}))
        assert delivery["state"] == "SUCCESS"
        assert delivery["info"]["accepted"] == ["hana@example.com"]
        assert delivery["info"]["rejected"] == ["kenji@example.com"]
        delivery = ended(write(firestore_client, {"to": "kenji@example.com", "message": MESSAGE}, name="two"))
        assert delivery["state"] == "ERROR"
        assert delivery["error"] == "Error: Can't send mail - all recipients were rejected: 550 No such user"


def test_a_refused_sender_is_an_error(firestore_client: Client, mailbox: Mailbox) -> None:
    mailbox.senders_refused = True
    with carrier(firestore_client, mailbox.address):
        assert ended(write(firestore_client))["error"] == "Error: Mail command failed: 451 Not now"


def test_nothing_listening_is_an_error_and_the_mail_can_be_tried_again(
    firestore_client: Client, mailbox: Mailbox
) -> None:
    [port] = free_ports(1)
    with carrier(firestore_client, (LOOPBACK, port)):
        reference = write(firestore_client)
        delivery = ended(reference)
        assert delivery["state"] == "ERROR"
        assert delivery["error"] == f"Error: connect ECONNREFUSED {LOOPBACK}:{port}"
    reference.update({"delivery.state": "RETRY"})
    with carrier(firestore_client, mailbox.address):
        assert ended(reference, attempts=2)["state"] == "SUCCESS"


@pytest.mark.parametrize(
    ("greeting", "error"),
    [
        (b"554 No service\r\n", "Error: Invalid greeting: 554 No service"),
        (b"", "Error: Connection closed unexpectedly"),
        (b"220 Hello\r\n", "Error: Connection closed unexpectedly"),
    ],
)
def test_a_server_that_hangs_up_is_an_error(firestore_client: Client, greeting: bytes, error: str) -> None:
    with saying(greeting) as address, carrier(firestore_client, address):
        assert ended(write(firestore_client))["error"] == error


def test_a_server_that_says_nothing_is_an_error(firestore_client: Client) -> None:
    # It is never accepted, and the operating system connects it all the same.
    with socket.create_server((LOOPBACK, 0)) as server:
        address = (LOOPBACK, server.getsockname()[1])
        with carrier(firestore_client, address, seconds=0.2):
            assert ended(write(firestore_client))["error"] == "Error: Greeting never received"


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ({"replyTo": None}, f"{INVALID} Field 'replyTo' must be a string"),
        ({"from": None}, f"{INVALID} Field 'from' must be a string"),
        (
            {"cc": None},
            f"{INVALID} Field 'cc' must be either a string or an array of strings",
        ),
        ({"message": None}, f"{INVALID} Field 'message' must be a map"),
        ({"to": []}, f"{INVALID} Email must have at least one recipient"),
        ({"to": "nobody"}, "Error: No recipients defined"),
        ({"categories": "one"}, f"{INVALID} Field 'categories' must be an array"),
        ({"toUids": ["user_hana"]}, "Error: Must specify a users collection to send using uids."),
        (
            {"message": {"text": "no subject"}},
            f"{INVALID_MESSAGE} Field 'message.subject' must be a string",
        ),
        (
            {"message": {"subject": "S", "text": "", "html": None}},
            f"{INVALID_MESSAGE} At least one of 'text' or 'html' must be provided in message",
        ),
        ({"template": {"name": "welcome"}}, "Error: the local carrier knows no template."),
    ],
)
def test_what_the_extension_refuses_is_an_error(
    firestore_client: Client, mailbox: Mailbox, document: Json, error: str
) -> None:
    with carrier(firestore_client, mailbox.address):
        delivery = ended(write(firestore_client, {"to": "hana@example.com", "message": MESSAGE} | document))
    assert (delivery["state"], delivery["error"]) == ("ERROR", error)
    assert not mailbox.contents


@pytest.mark.parametrize("document", [{}, {"to": "hana@example.com"}, {"to": "hana@example.com", "message": "Hello"}])
def test_a_document_without_a_message_is_left_alone(firestore_client: Client, mailbox: Mailbox, document: Json) -> None:
    with carrier(firestore_client, mailbox.address):
        reference = write(firestore_client, document)
        looked_at_everything(firestore_client)
    assert reference.get().to_dict() == document
    assert len(mailbox.contents) == 1


def test_a_mail_stuck_in_processing_stays_until_somebody_writes_to_it(
    firestore_client: Client, mailbox: Mailbox
) -> None:
    expired = datetime.now(UTC) - timedelta(minutes=5)
    delivery = {"state": "PROCESSING", "leaseExpireTime": expired, "startTime": expired, "attempts": 0, "error": None}
    reference = write(firestore_client, {"to": "hana@example.com", "message": MESSAGE, "delivery": delivery})
    with carrier(firestore_client, mailbox.address):
        looked_at_everything(firestore_client)
        assert (reference.get().to_dict() or {})["delivery"] == delivery
        reference.update({"note": "touched"})
        found = until(reference, lambda delivery: delivery["state"] != "PROCESSING")
        assert (found["state"], found["error"]) == ("ERROR", "Message processing lease expired.")
        assert len(mailbox.contents) == 1
        reference.update({"delivery.state": "RETRY"})
        assert ended(reference)["state"] == "SUCCESS"
    assert len(mailbox.contents) == 2


def test_a_mail_being_processed_is_nobody_elses(firestore_client: Client, mailbox: Mailbox) -> None:
    """Another carrier died with it, a moment ago: its lease still runs."""
    delivery = {"state": "PROCESSING", "leaseExpireTime": datetime.now(UTC) + timedelta(minutes=1), "attempts": 0}
    document = {"to": "hana@example.com", "message": MESSAGE, "delivery": delivery}
    with carrier(firestore_client, mailbox.address):
        reference = write(firestore_client, document)
        looked_at_everything(firestore_client)
        assert reference.get().to_dict() == document
        reference.update({"delivery.state": "RETRY"})
        assert ended(reference)["state"] == "SUCCESS"


@pytest.mark.parametrize(
    "document",
    [
        {"to": "hana@example.com", "message": MESSAGE, "delivery": "none"},
        {"to": "hana@example.com", "message": MESSAGE, "delivery": {"state": "PROCESSING", "leaseExpireTime": 1}},
        {"to": "hana@example.com", "message": MESSAGE, "headers": {"Content-Type": "multipart/mixed", "a b:\n": "c"}},
        {"to": "hana@example.com", "message": MESSAGE, "headers": "X-Fact: 1"},
        {"to": "evil\r\nDATA\r\n@example.com", "message": MESSAGE},
    ],
)
def test_no_document_stops_the_carrier(firestore_client: Client, mailbox: Mailbox, document: Json) -> None:
    with carrier(firestore_client, mailbox.address):
        write(firestore_client, document)
        looked_at_everything(firestore_client)
    assert mailbox.recipients[-1] == ["hana@example.com"]
    assert all(len(recipients) == 1 for recipients in mailbox.recipients)


def test_documents_come_and_go_while_the_carrier_looks(firestore_client: Client, mailbox: Mailbox) -> None:
    with carrier(firestore_client, mailbox.address):
        for number in range(20):
            reference = write(firestore_client, name=f"brief_{number}")
            reference.delete()
        looked_at_everything(firestore_client)


def test_a_line_break_in_a_header_is_a_space() -> None:
    document = {"to": "hana@example.com", "message": {"subject": "Sale\r\nBcc: evil@example.com", "text": "x"}}
    content = compose(document | {"headers": {"X-One": "a\nb", "X-Two": ["c", "d"]}}, SENDER, NOW).content
    mail = email.message_from_bytes(content, policy=email.policy.default)
    assert mail["Subject"] == "Sale Bcc: evil@example.com"
    assert mail["Bcc"] is None
    assert mail["X-One"] == "a b"
    assert mail.get_all("X-Two") == ["c", "d"]


@pytest.mark.parametrize(("text", "html"), [("x", None), (None, "<p>x</p>")])
def test_one_of_text_and_html_is_enough(text: str | None, html: str | None) -> None:
    message = {"subject": "One", "text": text, "html": html}
    content = compose({"to": "hana@example.com", "message": message}, SENDER, NOW).content
    mail = email.message_from_bytes(content, policy=email.policy.default)
    assert mail.get_content_type() == ("text/plain" if text else "text/html")
    assert mail.get_content().strip() == (text or html)


def test_everything_on_the_wire_is_ascii_in_short_lines() -> None:
    message = {"subject": "長い件名" * 40, "text": "長い行" * 900, "html": f"<p>{'長い行' * 900}</p>"}
    content = compose({"to": ["佐藤 花子 <hana@example.com>"] * 40, "message": message}, SENDER, NOW).content
    assert content.isascii()
    assert max(map(len, content.split(b"\r\n"))) <= 998
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert email.message_from_bytes(content, policy=email.policy.default)["Subject"] == message["subject"]


def test_a_message_id_of_the_document_is_kept() -> None:
    headers = {"Message-ID": "<order_paid_cs_1@example.com>"}
    letter = compose({"to": "hana@example.com", "message": MESSAGE, "headers": headers}, SENDER, NOW)
    assert letter.message_id == "<order_paid_cs_1@example.com>"
    assert letter.content.count(b"Message-ID: <order_paid_cs_1@example.com>\r\n") == 1


def test_attachments_are_refused_rather_than_lost() -> None:
    message = MESSAGE | {"attachments": [{"filename": "invoice.pdf"}]}
    with pytest.raises(Undelivered, match="attachments"):
        compose({"to": "hana@example.com", "message": message}, SENDER, NOW)


@pytest.mark.parametrize(
    ("delivery", "changes"),
    [
        (None, {"delivery": {"startTime": NOW, "state": "PENDING", "attempts": 0, "error": None}}),
        (
            {"state": "PENDING"},
            {"delivery.state": "PROCESSING", "delivery.leaseExpireTime": NOW + timedelta(seconds=60)},
        ),
        (
            {"state": "RETRY", "attempts": 3},
            {"delivery.state": "PROCESSING", "delivery.leaseExpireTime": NOW + timedelta(seconds=60)},
        ),
        ({"state": "PROCESSING", "leaseExpireTime": NOW}, {}),
        (
            {"state": "PROCESSING", "leaseExpireTime": NOW - timedelta(seconds=1)},
            {"delivery.state": "ERROR", "delivery.error": "Message processing lease expired."},
        ),
        ({"state": "SUCCESS"}, {}),
        ({"state": "ERROR"}, {}),
        ({"state": "SENT"}, {}),
        ({}, {}),
    ],
)
def test_the_step_that_follows_each_state(delivery: Json | None, changes: Json) -> None:
    assert next_step({"to": "hana@example.com", "message": MESSAGE, "delivery": delivery}, NOW) == changes


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:1025", ("127.0.0.1", 1025)),
        (" mailpit:25 ", ("mailpit", 25)),
        ("[::1]:1025", ("::1", 1025)),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, address: tuple[str, int]) -> None:
    assert parse_smtp(text) == address


@pytest.mark.parametrize(
    "text", ["", "localhost", ":1025", "localhost:", "localhost:0", "localhost:65536", "::1:1025", "smtp://a:25", "a:b"]
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"Write host:port, as 127\.0\.0\.1:1025 or \[::1\]:1025\.$"):
        parse_smtp(text)
