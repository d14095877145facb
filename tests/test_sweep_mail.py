"""Mails that did not go out: why, what each needs, and what one run does about it on the Firestore emulator."""

import io
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from google.cloud.firestore import Client

from functions.adapters.mailbox import FirestoreMailbox
from functions.effects import Create, Fields
from functions.errors import Conflict, Permanent, Retry, Unexpected
from functions.log import JsonLog
from functions.mail.settings import MailSettings
from functions.mail.sweep import PAUSES, Cause, Undelivered, Verdict, cause_of, decide, letters
from functions.mail.sweeper import Mailbox, Sweeper
from functions.topology import function
from local.carrier import Carrier
from local.emulators import Emulators
from local.processes import LOOPBACK, free_ports
from local.system import System, running
from tests.driving import SETTINGS
from tests.test_webhook import MovableClock

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parent.parent
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
BUSY = "Error: Message failed: 451 4.7.0 Temporary server error. Please try again later."
NO_SUCH_USER = "Error: Can't send mail - all recipients were rejected: 550 5.1.1 <hana@example.com> User unknown"
BARE = SETTINGS.mail


# Why


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        # The extension, and a lease that ran out.
        ("Message processing lease expired.", "lease"),
        ("Error: Failed to deliver email. Expected at least 1 recipient.", "unsendable"),
        ("ValidationError: Invalid message configuration: Field 'message.subject' must be a string", "unsendable"),
        ("ValidationError: Invalid email configuration: connect ECONNREFUSED must be a string", "unsendable"),
        ('Error: Invalid field "to". Expected an array of strings.', "unsendable"),
        ("Error: Must specify a users collection to send using uids.", "unsendable"),
        ("Error: tried to render non-existent template 'failed: 451 '", "unsendable"),
        ("Error: Failed to get template order_paid", "unsendable"),
        ("Error: Template object is missing a 'name' parameter.", "unsendable"),
        ("Error: Parse error on line 1:\nDear {{name\n451 ", "unsendable"),
        # nodemailer, before it reaches the server.
        ("No recipients defined", "unsendable"),
        ("Error: No recipients defined", "unsendable"),
        ("Error: Can't send mail - no recipients defined", "unsendable"),
        ('Error: Invalid recipient "rejected: 451 @example.com"', "unsendable"),
        ("Error: Message size larger than allowed 10240000", "unsendable"),
        ("Error: Internationalized mailbox name not allowed: 553 5.6.7", "unsendable"),
        ("Error: connect ECONNREFUSED 10.0.0.1:587", "network"),
        ("Error: connect ETIMEDOUT 550.0.0.1:550", "network"),
        ("Error: connect ECONNREFUSED ::1:550", "network"),
        ("Error: read ECONNRESET", "network"),
        ("Error: Connection timeout", "network"),
        ("Error: Connection closed unexpectedly", "network"),
        ("Error: Timeout", "network"),
        ("Error: Greeting never received", "network"),
        ("Error: getaddrinfo EAI_AGAIN smtp.example.com", "network"),
        ("Error: getaddrinfo ENOTFOUND smtp-550.example.com", "network"),
        ("Error: self signed certificate", "network"),
        ("Error: self-signed certificate in certificate chain", "network"),
        ("Error: unable to verify the first certificate", "network"),
        ("Error: certificate has expired", "network"),
        ("Error: Hostname/IP does not match certificate's altnames: Host: smtp.example.com.", "network"),
        ("Error: C0A7:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:550:", "network"),
        ("Error: 4460:EPROTO 550", "network"),
        # What a server says to us, before a mail was spoken of.
        ("Error: Invalid greeting from server:\n554 5.7.1 blocked: 554 5.7.1 blocked", "network"),
        ("Error: Invalid greeting. response=554 no: 554 no", "network"),
        ("Error: Server terminates connection:\n421 bye: 421 bye", "network"),
        ("Error: Error upgrading connection with STARTTLS: 502 5.5.1 no", "network"),
        ("Error: Invalid login: 535 5.7.8 Error: authentication failed", "login"),
        ("Error: Invalid login: 535-5.7.8 Username and Password not accepted. For more\n535 5.7.8 go to", "login"),
        ("Error: Invalid login: 454 4.7.0 Temporary authentication failure", "login"),
        ('Error: Missing credentials for "PLAIN"', "login"),
        ("Error: Mail command failed: 530 5.7.0 Must issue a STARTTLS command first", "login"),
        ("Error: Message failed: 534 5.7.9 Application-specific password required", "login"),
        # What it says of a mail.
        (BUSY, "busy"),
        ("Error: Mail command failed: 421 4.7.0 closing connection", "busy"),
        ("Error: Can't send mail - all recipients were rejected: 450 4.2.0 <a@b.example>: Greylisted", "busy"),
        ("Error: Data command failed: 452 4.3.1 Insufficient system storage", "busy"),
        ("454 Throttling failure: Maximum sending rate exceeded.", "throttled"),
        ("Error: Data command failed: 454 Throttling failure: Daily message quota exceeded.", "throttled"),
        ("Error: Data command failed: 550-5.4.5 Daily user sending limit exceeded. For more\n550 5.4.5", "throttled"),
        ("Error: Message failed: 550 5.1.1 The email account that you tried to reach does not exist.", "refused"),
        (NO_SUCH_USER, "refused"),
        ("Error: Can't send mail - all recipients were rejected: 550 5.1.1 <throttled@example.com>", "refused"),
        ("Error: Mail command failed: 550 5.1.1 <timeout.451.@10.0.0.1> unknown 451 in our tables", "refused"),
        ("Error: Message failed: 554 Message rejected: Email address is not verified.", "refused"),
        ("Error: Message failed: 552 5.2.2 Mailbox full", "refused"),
        ("Error: Message failed for recipient a@b.example: 550-no\n550 no", "refused"),
        ("550", "refused"),
        # SendGrid's client.
        ("Unauthorized (401)\n  The provided authorization grant is invalid\n    null\n    null", "login"),
        ("\x1b[31mForbidden (403)\x1b[39m", "login"),
        ("Too Many Requests (429)", "throttled"),
        ("Service Unavailable (503)", "busy"),
        ("Bad Request (400)\n  Does not contain a valid address.\n    personalizations.0.to", "unsendable"),
        ("Payload Too Large (413)", "unsendable"),
        # Digits that are no codes, and texts that nobody knows.
        ("Error: no route to 10.0.0.550:587", "unknown"),
        ("Error: the relay at port: 587 went away", "unknown"),
        ("Error: queue id: 550 was lost", "unknown"),
        ("Error: job 5501 of mail 550AB failed", "unknown"),
        ("Error: failed: 5501 of them", "unknown"),
        ("Error: failed: 587", "unknown"),
        ("TypeError: Cannot read properties of undefined (reading 'length')", "unknown"),
        ("", "unknown"),
        (None, "unknown"),
        ({"code": 550}, "unknown"),
        (550, "unknown"),
    ],
)
def test_the_cause_is_told_from_the_text(error: object, cause: Cause) -> None:
    assert cause_of(error) == cause


# What a mail needs


def undelivered(delivery: Any, **fields: Any) -> Undelivered:
    return Undelivered(
        id="welcome_cus_1", path="mail/welcome_cus_1", fields={"delivery": delivery, **fields}, at=NOW - DAY, version=1
    )


def failed(ago: timedelta, error: str | None = BUSY, **delivery: Any) -> Json:
    return {"state": "ERROR", "error": error, "endTime": NOW - ago, "leaseExpireTime": None, **delivery}


def stuck(ago: timedelta, **delivery: Any) -> Json:
    return {"state": "PROCESSING", "error": None, "leaseExpireTime": NOW - ago, **delivery}


SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("mail", "action"),
    [
        *((undelivered(failed(pause - SECOND), retries=number), "wait") for number, pause in enumerate(PAUSES)),
        *((undelivered(failed(pause), retries=number), "retry") for number, pause in enumerate(PAUSES)),
        (undelivered(failed(SECOND), retries=5), "give up"),
        (undelivered(failed(SECOND), retries=99), "give up"),
        (undelivered(failed(SECOND, NO_SUCH_USER)), "give up"),
        (undelivered(failed(SECOND, NO_SUCH_USER), retries=3), "give up"),
        (undelivered(failed(7 * DAY)), "retry"),
        (undelivered(failed(SECOND), given_up_at=NOW), "settled"),
        (undelivered(failed(SECOND), given_up_at=NOW - SECOND), "settled"),
        # Somebody had it tried again since.
        (undelivered(failed(MINUTE), given_up_at=NOW - HOUR), "wait"),
        (undelivered(failed(MINUTE), given_up_at=NOW - HOUR, retries=5), "give up"),
        # Without its end, a lease says when the attempt was over; after a retry the end is of the one before.
        (undelivered(failed(HOUR, "Message processing lease expired.", leaseExpireTime=NOW - MINUTE)), "wait"),
        (undelivered({"state": "ERROR", "leaseExpireTime": NOW - 6 * MINUTE}), "retry"),
        (undelivered(stuck(MINUTE)), "wait"),
        (undelivered(stuck(5 * MINUTE)), "retry"),
        (undelivered(stuck(5 * MINUTE, endTime=NOW - DAY), retries=1), "wait"),
        # What stands in `error` is of the attempt before.
        (undelivered(stuck(5 * MINUTE, error=NO_SUCH_USER)), "retry"),
        # The last attempt may still be under way.
        (undelivered(stuck(MINUTE), retries=5), "wait"),
        (undelivered(stuck(5 * MINUTE), retries=5), "give up"),
        # Shapes that nobody wrote on purpose.
        (undelivered({"state": "ERROR"}), "retry"),
        (undelivered({"state": "ERROR", "endTime": "yesterday", "leaseExpireTime": 7}), "retry"),
        (undelivered(failed(HOUR), retries="three"), "retry"),
        (undelivered(failed(HOUR), retries=-3), "retry"),
        (undelivered(failed(HOUR), given_up_at="no"), "retry"),
        (undelivered("ERROR"), "retry"),
        (undelivered(None), "retry"),
    ],
)
def test_a_mail_is_tried_again_waits_or_is_given_up(mail: Undelivered, action: str) -> None:
    assert decide(mail, NOW).action == action


def test_all_pauses_together_are_less_than_a_day_and_each_is_longer_than_the_one_before() -> None:
    assert list(PAUSES) == sorted(set(PAUSES))
    assert len(PAUSES) == 5
    assert sum(PAUSES, timedelta()) < DAY


def test_support_is_told_what_the_document_says() -> None:
    mail = undelivered(
        failed(MINUTE, NO_SUCH_USER),
        to=["hana@example.com", "kenji@example.com"],
        message={"subject": "ようこそ"},
        audience="customer",
        customer="cus_1",
        event="evt_1",
        livemode=False,
        account="acct_1",
    )
    [letter] = letters(mail, Verdict("give up", "refused", 2), NOW)
    assert asdict(letter.facts) == {
        "mail": "welcome_cus_1",
        "path": "mail/welcome_cus_1",
        "to": "hana@example.com, kenji@example.com",
        "subject": "ようこそ",
        "error": NO_SUCH_USER,
        "retries": 2,
    }
    origin = letter.origin
    assert (origin.customer, origin.event, origin.livemode, origin.account) == ("cus_1", "evt_1", False, "acct_1")
    assert letter.reader.email is None, "support has nobody to answer"
    assert letter.since == int(NOW.timestamp())


@pytest.mark.parametrize(
    ("fields", "to", "subject"),
    [
        ({"to": "hana@example.com", "message": {"subject": "Hello"}}, "hana@example.com", "Hello"),
        ({"to": [1, None, "a@b.example"], "message": "Hello"}, "a@b.example", None),
        ({"toUids": ["user_1"], "template": {"name": "hello"}}, None, None),
        ({"to": 7, "customer": ["cus_1"], "event": 1, "livemode": "yes", "message": {"subject": 1}}, None, None),
    ],
)
def test_support_is_told_of_documents_that_an_application_wrote(fields: Json, to: str, subject: str) -> None:
    [letter] = letters(undelivered({"error": 1}, **fields), Verdict("give up", "unknown", 5), NOW)
    said = asdict(letter.facts)
    assert (said["to"], said["subject"], said["error"]) == (to, subject, None)
    assert (letter.origin.customer, letter.origin.event, letter.origin.livemode) == (None, "", True)


def test_nobody_is_told_of_a_mail_to_support() -> None:
    assert letters(undelivered(failed(MINUTE), audience="support"), Verdict("give up", "busy", 5), NOW) == ()


# One run


class Bench:
    """The sweeper on the emulator, at a time that the test sets, and what it said."""

    def __init__(
        self,
        client: Client,
        settings: MailSettings = BARE,
        mailbox: Mailbox | None = None,
        clock: MovableClock | None = None,
    ) -> None:
        self.client = client
        self.clock = clock or MovableClock(NOW.timestamp())
        self.output = io.StringIO()
        self.sweeper = Sweeper(
            settings=settings,
            mailbox=mailbox or FirestoreMailbox(client, settings.collection),
            clock=self.clock,
            log=JsonLog(self.output),
        )

    def put(self, mail_id: str, delivery: Json | None, **fields: Any) -> Json:
        """A mail of ours, as the outbox and the extension leave it."""
        document = {
            "to": ["hana@example.com"],
            "message": {"subject": "Welcome", "text": "…", "html": "<p>…</p>"},
            "mail": "welcome",
            "audience": "customer",
            "customer": "cus_1",
            "event": "evt_1",
            "livemode": False,
            **({"delivery": {"attempts": 1, "startTime": NOW - DAY, **delivery}} if delivery else {}),
            **fields,
        }
        self.client.document(f"mail/{mail_id}").set(document)
        return document

    def get(self, mail_id: str) -> Json | None:
        found: Json | None = self.client.document(f"mail/{mail_id}").get().to_dict()
        return found

    def states(self) -> dict[str, tuple[Any, Any]]:
        """The state and the retries of every mail that has been with the extension."""
        found = {each.id: each.to_dict() or {} for each in self.client.collection("mail").stream()}
        return {
            mail: (fields["delivery"]["state"], fields.get("retries"))
            for mail, fields in found.items()
            if "delivery" in fields
        }

    def run(self, after: timedelta = timedelta()) -> Json:
        """The counts of one run, which takes place so much later."""
        self.clock.time += after.total_seconds()
        self.sweeper.run()
        return self.said()[-1]

    def said(self) -> list[Json]:
        return [json.loads(line) for line in self.output.getvalue().splitlines()]

    def mark(self) -> datetime | None:
        return FirestoreMailbox(self.client, "mail").mark()


@pytest.fixture
def bench(firestore_client: Client) -> Bench:
    return Bench(firestore_client)


def test_a_failed_mail_gets_a_retry_and_nothing_else_changes(bench: Bench) -> None:
    before = bench.put("welcome_cus_1", failed(6 * MINUTE, info={"messageId": "x"}))
    line = bench.run()
    assert bench.get("welcome_cus_1") == {
        **before,
        "delivery": {**before["delivery"], "state": "RETRY"},
        "retries": 1,
    }
    assert line == {
        "severity": "INFO",
        "message": "mails swept",
        "function": "sweep_mail",
        "looked_at": 1,
        "retried": 1,
        "given_up": 0,
        "waiting": 0,
        "milliseconds": 0.0,
    }
    assert bench.run() == {**line, "looked_at": 0, "retried": 0}


def test_a_mail_that_fails_each_time_is_tried_five_times_and_then_told_to_support(bench: Bench) -> None:
    bench.put("welcome_cus_1", failed(timedelta()))
    began = bench.clock.now()
    moments = []
    for _ in range(300):
        bench.run(5 * MINUTE)
        if (bench.states()["welcome_cus_1"])[0] == "RETRY":
            moments.append(round((bench.clock.now() - began) / 60))
            # The extension tries at once, and fails.
            now = datetime.fromtimestamp(bench.clock.now(), UTC)
            changes = {"state": "ERROR", "error": BUSY, "endTime": now, "attempts": 1 + len(moments)}
            reference = bench.client.document("mail/welcome_cus_1")
            reference.update({f"delivery.{name}": value for name, value in changes.items()})
    assert moments == [5, 20, 80, 320, 1040]
    mail, told = bench.get("welcome_cus_1"), bench.get("mail_failed_welcome_cus_1")
    assert mail is not None
    assert told is not None
    assert mail["given_up_at"] - mail["delivery"]["endTime"] == 5 * MINUTE
    assert (mail["retries"], mail["delivery"]["state"]) == (5, "ERROR")
    assert told["to"] == [BARE.support_email]
    assert (told["customer"], told["event"], told["livemode"]) == ("cus_1", "evt_1", False)
    assert "welcome_cus_1" in told["message"]["text"]
    assert [line["message"] for line in bench.said() if line["severity"] != "INFO"] == ["a mail is given up"]


def test_a_permanent_failure_is_told_to_support_at_once_and_once(bench: Bench) -> None:
    before = bench.put("welcome_cus_1", failed(SECOND, NO_SUCH_USER))
    line = bench.run()
    assert (line["given_up"], line["retried"]) == (1, 0)
    assert bench.get("welcome_cus_1") == {**before, "given_up_at": NOW}
    told = bench.client.document("mail/mail_failed_welcome_cus_1").get()
    assert (bench.run()["given_up"], bench.run(DAY)["given_up"]) == (0, 0)
    assert bench.client.document("mail/mail_failed_welcome_cus_1").get().update_time == told.update_time


def test_a_log_line_names_the_mail_and_the_cause_and_no_address(bench: Bench) -> None:
    bench.put("welcome_cus_1", failed(SECOND, NO_SUCH_USER))
    bench.put("to-kenji@example.com", failed(MINUTE, NO_SUCH_USER))
    bench.run()
    first, second, _ = bench.said()
    assert second == {
        "severity": "WARNING",
        "message": "a mail is given up",
        "function": "sweep_mail",
        "mail": "welcome_cus_1",
        "cause": "refused",
        "retries": 0,
    }
    assert "mail" not in first
    assert "@" not in bench.output.getvalue()
    assert "550" not in bench.output.getvalue()


def test_a_mail_to_support_that_cannot_be_delivered_is_only_logged(bench: Bench) -> None:
    bench.put("mail_failed_welcome_cus_1", failed(SECOND, NO_SUCH_USER), mail="mail_failed", audience="support")
    assert bench.run()["given_up"] == 1
    assert list(bench.states()) == ["mail_failed_welcome_cus_1"]
    assert [(line["severity"], line.get("mail")) for line in bench.said()] == [
        ("ERROR", "mail_failed_welcome_cus_1"),
        ("INFO", None),
    ]
    assert bench.run(DAY)["given_up"] == 0


def test_what_an_application_wrote_is_tried_again_and_reported_too(bench: Bench) -> None:
    text = {"subject": "Hi", "text": "Hi"}
    bench.client.document("mail/a").set({"to": "a@b.example", "message": text, "delivery": failed(HOUR)})
    bench.client.document("mail/b").set({"toUids": ["u"], "template": {}, "delivery": failed(HOUR, "No recipients")})
    line = bench.run()
    assert (line["retried"], line["given_up"]) == (1, 1)
    assert bench.states() == {"a": ("RETRY", 1), "b": ("ERROR", None)}
    assert bench.get("mail_failed_b") is not None


def test_a_mail_whose_process_died_is_tried_again_once_its_lease_is_over(bench: Bench) -> None:
    before = bench.put("dead", stuck(6 * MINUTE))
    bench.put("alive", stuck(-MINUTE))
    bench.put("fresh", stuck(SECOND))
    bench.put("noticed", {"state": "ERROR", "error": "Message processing lease expired.", **_lease(6 * MINUTE)})
    line = bench.run()
    assert (line["looked_at"], line["retried"], line["waiting"]) == (3, 2, 1)
    assert bench.states() == {
        "dead": ("RETRY", 1),
        "alive": ("PROCESSING", None),
        "fresh": ("PROCESSING", None),
        "noticed": ("RETRY", 1),
    }
    assert bench.get("dead") == {**before, "delivery": {**before["delivery"], "state": "RETRY"}, "retries": 1}


def _lease(ago: timedelta) -> Json:
    return {"leaseExpireTime": NOW - ago}


def test_a_mail_found_by_its_end_and_by_its_lease_is_dealt_with_once(bench: Bench) -> None:
    bench.put("twice", {**failed(HOUR), **_lease(30 * MINUTE)})
    bench.put("for ever", {**failed(HOUR, NO_SUCH_USER), **_lease(30 * MINUTE)})
    line = bench.run()
    assert (line["looked_at"], line["retried"], line["given_up"]) == (4, 1, 1)
    assert bench.states()["twice"] == ("RETRY", 1)
    assert "overtaken" not in line


def test_what_is_none_of_its_business_is_not_even_read(bench: Bench) -> None:
    bench.put("new", None)
    for state in ("PENDING", "SUCCESS", "RETRY"):
        bench.put(state, {"state": state, "endTime": NOW - HOUR})
    bench.put("without times", {"state": "ERROR"})
    bench.put("in words", {"state": "ERROR", "endTime": "yesterday", "leaseExpireTime": "soon"})
    assert bench.run()["looked_at"] == 0
    assert bench.run(DAY)["looked_at"] == 0


def test_a_switched_off_report_marks_the_mail_all_the_same(firestore_client: Client) -> None:
    bench = Bench(firestore_client, replace(BARE, disabled=frozenset({"mail_failed"})))
    bench.put("welcome_cus_1", failed(SECOND, NO_SUCH_USER))
    bench.run()
    assert (bench.get("welcome_cus_1") or {})["given_up_at"] == NOW
    assert bench.get("mail_failed_welcome_cus_1") is None
    assert bench.said()[0]["severity"] == "ERROR"


def test_a_report_that_exists_already_does_not_keep_the_mail_open(bench: Bench) -> None:
    bench.client.document("mail/mail_failed_welcome_cus_1").set({"kept": True})
    bench.put("welcome_cus_1", failed(SECOND, NO_SUCH_USER))
    assert bench.run()["given_up"] == 1
    assert "given_up_at" in (bench.get("welcome_cus_1") or {})
    assert bench.get("mail_failed_welcome_cus_1") == {"kept": True}
    assert bench.run()["given_up"] == 0


def test_a_mail_that_an_operator_has_tried_again_is_looked_after_again(bench: Bench) -> None:
    bench.put("welcome_cus_1", failed(SECOND, NO_SUCH_USER))
    bench.run()
    told = bench.get("mail_failed_welcome_cus_1")
    changes = {"delivery.endTime": NOW + DAY, "delivery.error": BUSY}
    bench.client.document("mail/welcome_cus_1").update(changes)
    assert bench.run(DAY + MINUTE)["waiting"] == 1
    assert bench.run(5 * MINUTE)["retried"] == 1
    bench.client.document("mail/welcome_cus_1").update(
        {"delivery.state": "ERROR", "delivery.endTime": NOW + 2 * DAY, "delivery.error": NO_SUCH_USER}
    )
    assert bench.run(DAY)["given_up"] == 1
    assert bench.get("mail_failed_welcome_cus_1") == told


def test_a_mail_that_fails_while_the_run_is_under_way_is_given_up_once(bench: Bench) -> None:
    bench.put("welcome_cus_1", failed(-MINUTE, NO_SUCH_USER))
    assert bench.run()["given_up"] == 1
    assert (bench.get("welcome_cus_1") or {})["given_up_at"] == NOW + MINUTE
    assert bench.run(5 * MINUTE)["given_up"] == 0


# Others at work, and the end of the world


class Slow(FirestoreMailbox):
    """Something happens before each commit."""

    def __init__(self, client: Client, before: Callable[[Undelivered], None], page: int = 200) -> None:
        super().__init__(client, "mail", page)
        self._before = before

    def commit(self, mail: Undelivered, changes: Fields, documents: Sequence[Create]) -> None:
        self._before(mail)
        super().commit(mail, changes, documents)


@pytest.mark.parametrize("error", [BUSY, NO_SUCH_USER], ids=["retry", "give up"])
def test_two_runs_at_once_do_nothing_twice(firestore_client: Client, error: str) -> None:
    """The second begins and ends after the first has read and before it writes."""
    second = Bench(firestore_client)
    ran: list[Json] = []
    first = Bench(firestore_client, mailbox=Slow(firestore_client, lambda _: ran.append(second.run())))
    for number in range(3):
        first.put(f"welcome_{number}", failed(HOUR + number * MINUTE, error))
    line = first.run()
    assert (line["retried"], line["given_up"], line["overtaken"]) == (0, 0, 3)
    assert [each["retried"] + each["given_up"] for each in ran] == [3] + [0] * (len(ran) - 1)
    state = ("RETRY", 1) if error == BUSY else ("ERROR", None)
    assert first.states() == {f"welcome_{number}": state for number in range(3)}
    assert len([line for line in (*first.said(), *second.said()) if line["message"] == "a mail is given up"]) == (
        3 if error == NO_SUCH_USER else 0
    )


def test_a_mail_that_went_out_in_between_is_left_alone(firestore_client: Client) -> None:
    def deliver(mail: Undelivered) -> None:
        firestore_client.document(mail.path).update({"delivery.state": "SUCCESS"})

    bench = Bench(firestore_client, mailbox=Slow(firestore_client, deliver))
    bench.put("welcome_1", failed(HOUR))
    bench.put("welcome_2", failed(HOUR, NO_SUCH_USER))
    line = bench.run()
    assert (line["overtaken"], line["retried"], line["given_up"]) == (2, 0, 0)
    assert bench.states() == {"welcome_1": ("SUCCESS", None), "welcome_2": ("SUCCESS", None)}


def test_a_commit_that_only_collided_leaves_the_mail_and_its_report_to_the_next_run(firestore_client: Client) -> None:
    """Firestore aborts one of two commits at once, although nothing has changed."""
    collisions = [Conflict("Aborted")]

    def collide(_: Undelivered) -> None:
        if collisions:
            raise collisions.pop()

    bench = Bench(firestore_client, mailbox=Slow(firestore_client, collide))
    before = bench.put("welcome_cus_1", failed(SECOND, NO_SUCH_USER))
    line = bench.run()
    assert (line["overtaken"], line["given_up"]) == (1, 0)
    assert bench.get("welcome_cus_1") == before
    assert bench.run()["given_up"] == 1
    assert bench.get("mail_failed_welcome_cus_1") is not None


@pytest.mark.parametrize("survivors", range(4))
def test_a_run_that_dies_is_gone_on_with(firestore_client: Client, survivors: int) -> None:
    left = [survivors]

    def die(_: Undelivered) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Retry("Firestore answered ServiceUnavailable")

    dying = Bench(firestore_client, mailbox=Slow(firestore_client, die))
    for number in range(4):
        dying.put(f"welcome_{number}", failed(HOUR - number * MINUTE, BUSY if number % 2 else NO_SUCH_USER))
    with pytest.raises(Retry):
        dying.run()
    line = dying.said()[-1]
    assert (line["severity"], line["message"]) == (
        "WARNING",
        "the sweep breaks off: Firestore answered ServiceUnavailable",
    )
    assert line["retried"] + line["given_up"] == survivors
    line = Bench(firestore_client).run()
    assert line["retried"] + line["given_up"] == 4 - survivors
    assert dying.states() == {f"welcome_{n}": ("RETRY", 1) if n % 2 else ("ERROR", None) for n in range(4)}
    told = [each.id for each in firestore_client.collection("mail").stream() if each.id.startswith("mail_failed")]
    assert told == ["mail_failed_welcome_0", "mail_failed_welcome_2"]


def test_what_does_not_fit_into_one_run_is_for_the_next(firestore_client: Client) -> None:
    """Each commit takes 25 s here, and a run may go on for 60; pages are small, so that several are read."""
    clock = MovableClock(NOW.timestamp())
    slow = Bench(firestore_client, mailbox=Slow(firestore_client, lambda _: clock.sleep(25), page=2), clock=clock)
    for number in range(7):
        slow.put(f"welcome_{number}", failed(DAY - number * MINUTE))
    lines = [slow.run(5 * MINUTE) for _ in range(3)]
    assert [(line["looked_at"], line["retried"], line.get("left_over")) for line in lines] == [
        (3, 3, 1),
        (3, 3, 1),
        (1, 1, None),
    ]
    assert set(slow.states().values()) == {("RETRY", 1)}


def test_a_run_ends_within_the_timeout_of_the_function() -> None:
    """After its time is up it may still be reading a page and making a commit, each with its own limit of 10 s."""
    from functions.adapters.firestore import TIMEOUT_SECONDS
    from functions.mail.sweeper import BUDGET_SECONDS

    assert function("sweep_mail").timeout_seconds > BUDGET_SECONDS + 4 * TIMEOUT_SECONDS


def test_one_mail_that_nobody_thought_of_does_not_keep_the_others(firestore_client: Client) -> None:
    def surprise(mail: Undelivered) -> None:
        if mail.id == "welcome_0":
            raise KeyError("hana@example.com")

    bench = Bench(firestore_client, mailbox=Slow(firestore_client, surprise))
    for number in range(3):
        bench.put(f"welcome_{number}", failed(HOUR - number * MINUTE))
    with pytest.raises(Unexpected, match=r"^unexpected KeyError$"):
        bench.run()
    assert bench.states() == {"welcome_0": ("ERROR", None), "welcome_1": ("RETRY", 1), "welcome_2": ("RETRY", 1)}
    assert "hana" not in bench.output.getvalue()
    assert bench.said()[0]["mail"] == "welcome_0"
    # And it is still open for the version that knows it.
    assert Bench(firestore_client).run()["retried"] == 1


def test_a_mail_that_takes_no_change_is_said_and_does_not_hold_up_the_mark(firestore_client: Client) -> None:
    def refuse(_: Undelivered) -> None:
        raise Permanent("Firestore does not take what this event says", "1048577 bytes")

    bench = Bench(firestore_client, mailbox=Slow(firestore_client, refuse))
    bench.put("large", failed(2 * HOUR))
    bench.run()
    assert [line["message"] for line in bench.said()] == ["a mail takes no change", "mails swept"]
    assert bench.said()[0]["severity"] == "ERROR"
    assert bench.run(5 * MINUTE)["looked_at"] == 0


# What it costs, and what is never forgotten


def test_a_run_reads_only_what_is_open_however_much_lies_there(bench: Bench) -> None:
    sent = {"delivery": {"state": "SUCCESS", "endTime": NOW - HOUR}}
    lost = {"delivery": failed(2 * HOUR, NO_SUCH_USER), "given_up_at": NOW - HOUR}
    batch = bench.client.batch()
    for number in range(1_000):
        batch.set(bench.client.document(f"mail/sent_{number}"), sent)
    for number in range(300):
        batch.set(bench.client.document(f"mail/lost_{number}"), lost)
    batch.commit()
    bench.put("waiting", failed(MINUTE))
    # The mark passes what lies there the first time.
    assert bench.run()["looked_at"] == 301
    assert bench.run()["looked_at"] == 1
    assert bench.run(5 * MINUTE) == bench.said()[-1] | {"looked_at": 1, "retried": 1}
    assert bench.run(5 * MINUTE)["looked_at"] == 0


def test_a_quiet_run_writes_nothing(bench: Bench) -> None:
    bench.run()
    before = bench.client.document("sweeps/mail").get().update_time
    bench.put("waiting", failed(MINUTE))
    for _ in range(3):
        bench.run(MINUTE)
    assert bench.client.document("sweeps/mail").get().update_time == before


def test_the_mark_waits_for_the_oldest_that_is_open_and_stays_an_hour_behind(bench: Bench) -> None:
    bench.put("old", failed(30 * HOUR, NO_SUCH_USER))
    bench.put("open", failed(4 * HOUR), retries=4)
    bench.put("after", failed(3 * HOUR, NO_SUCH_USER))
    bench.run()
    assert bench.mark() == NOW - 4 * HOUR
    assert bench.run()["looked_at"] == 2
    bench.run(8 * HOUR)
    assert bench.mark() == NOW + 7 * HOUR


def test_what_failed_while_nothing_ran_for_a_week_is_dealt_with(bench: Bench) -> None:
    bench.run()
    for day in range(7):
        bench.put(f"failed_{day}", failed(-day * DAY, BUSY if day else NO_SUCH_USER))
        bench.put(f"stuck_{day}", stuck(-day * DAY))
    line = bench.run(7 * DAY)
    assert (line["looked_at"], line["retried"], line["given_up"]) == (14, 13, 1)
    assert bench.run(5 * MINUTE)["looked_at"] == 0


def test_a_mail_that_waits_while_nothing_runs_for_a_week_goes_on_then(bench: Bench) -> None:
    bench.put("welcome_cus_1", failed(HOUR), retries=4)
    assert bench.run()["waiting"] == 1
    assert bench.run(7 * DAY)["retried"] == 1
    assert bench.states() == {"welcome_cus_1": ("RETRY", 5)}


def test_the_first_run_of_all_leaves_alone_what_is_older_than_mails_may_be(bench: Bench) -> None:
    """Nobody wants the password mail of last year, and support no report of each."""
    bench.put("ancient", failed(timedelta(seconds=BARE.max_age_seconds) + HOUR))
    bench.put("recent", failed(timedelta(seconds=BARE.max_age_seconds) - HOUR))
    assert bench.run()["looked_at"] == 1
    assert bench.states() == {"ancient": ("ERROR", None), "recent": ("RETRY", 1)}


def test_another_collection_has_a_mark_of_its_own(firestore_client: Client) -> None:
    bench = Bench(firestore_client, replace(BARE, collection="post"))
    firestore_client.document("post/welcome_cus_1").set({"delivery": failed(SECOND, NO_SUCH_USER)})
    bench.put("welcome_cus_1", failed(HOUR))
    bench.run()
    assert firestore_client.document("post/mail_failed_welcome_cus_1").get().exists
    assert bench.states() == {"welcome_cus_1": ("ERROR", None)}
    assert bench.mark() is None
    assert firestore_client.document("sweeps/post").get().exists


def test_every_query_has_its_index(firestore_client: Client) -> None:
    """The emulator asks for none."""
    indexes = json.loads((ROOT / "firestore.indexes.json").read_text("utf-8"))["indexes"]
    made = {
        tuple(field["fieldPath"] for field in index["fields"] if field["order"] == "ASCENDING")
        for index in indexes
        if (index["collectionGroup"], index["queryScope"]) == ("mail", "COLLECTION")
    }
    mailbox = FirestoreMailbox(firestore_client, "mail")
    queries = [mailbox._failed(NOW), mailbox._overdue(NOW, NOW)]
    assert {needed_by(query) for query in queries} == made


def needed_by(query: Any) -> tuple[str, ...]:
    """The fields of the index: those that have to equal something, and then those it is ordered by."""
    asked = query._to_protobuf()._pb
    filters = [each.field_filter for each in asked.where.composite_filter.filters]
    equal = {each.field.field_path for each in filters if each.op in {each.EQUAL, each.IN}}
    ordered = [each.field.field_path for each in asked.order_by]
    assert {each.field.field_path for each in filters} == equal | set(ordered)
    return (*sorted(equal), *ordered)


def test_a_database_that_does_not_answer_is_for_a_retry(bench: Bench) -> None:
    class Away(FirestoreMailbox):
        def _failed(self, since: datetime) -> Any:
            # Firestore refuses it, as it does a query without its index.
            return super()._failed(since).order_by("delivery.state").order_by("delivery.state")

    away = Bench(bench.client, mailbox=Away(bench.client, "mail"))
    with pytest.raises(Retry, match=r"^Firestore answered \w+ to a query$"):
        away.run()
    assert away.said()[-1]["severity"] == "WARNING"


# With an extension, and as a function of the system


def test_a_mail_whose_server_was_away_arrives_once_after_the_sweep(bench: Bench) -> None:
    [port] = free_ports(1)
    arrived: list[bytes] = []

    class Server:
        async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 -- aiosmtpd's
            arrived.append(envelope.content)
            return "250 OK"

    bench.put("welcome_cus_1", None)
    with Carrier(bench.client, "mail", (LOOPBACK, port), "shop@example.com", bench.clock, poll_seconds=0.05):
        wait_for(lambda: bench.states() == {"welcome_cus_1": ("ERROR", None)})
        assert bench.run()["waiting"] == 1
        server = Controller(Server(), hostname=LOOPBACK, port=port)
        server.start()
        try:
            assert bench.run(6 * MINUTE)["retried"] == 1
            wait_for(lambda: bench.states() == {"welcome_cus_1": ("SUCCESS", 1)})
        finally:
            server.stop()
    assert len(arrived) == 1
    assert bench.run(DAY)["looked_at"] == 0


@pytest.fixture(scope="module")
def system(emulators: Emulators, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    environ = dict(emulators.environment()) | {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    project = f"test-{secrets.token_hex(6)}"
    with running(environ, log_directory=tmp_path_factory.mktemp("logs"), project=project) as started:
        yield started


def test_a_tick_of_the_clock_makes_a_run(system: System) -> None:
    client = system.firestore()
    ended = datetime.now(UTC) - HOUR
    client.document("mail/welcome_cus_1").set({"delivery": failed(HOUR) | {"endTime": ended}})
    system.tick("sweep_mail")
    wait_for(lambda: (client.document("mail/welcome_cus_1").get().to_dict() or {}).get("retries") == 1)
    wait_for(lambda: any(line["message"] == "mails swept" for line in system.function_log()))
    [line] = [line for line in system.function_log() if line.get("function") == "sweep_mail"]
    assert line["retried"] == 1


def test_a_tick_for_somebody_else_is_no_work(system: System) -> None:
    from google.cloud.pubsub_v1 import PublisherClient

    before = len(runs(system))
    with PublisherClient() as publisher:
        topic = publisher.topic_path(system.environment["GOOGLE_CLOUD_PROJECT"], "stripe-clock")
        publisher.publish(topic, b"tick", function="send_due_reminders").result(timeout=10)
        publisher.publish(topic, b"tick").result(timeout=10)
    system.tick("sweep_mail")
    wait_for(lambda: len(runs(system)) == before + 1)
    time.sleep(1)
    assert len(runs(system)) == before + 1


def test_only_functions_of_the_clock_have_ticks(system: System) -> None:
    with pytest.raises(LookupError, match=r"no clock calls 'record_orders', but: send_due_reminders, sweep_mail"):
        system.tick("record_orders")


def runs(system: System) -> list[Json]:
    return [line for line in system.function_log() if line["message"] == "mails swept"]


def wait_for(condition: Callable[[], bool], patience_seconds: float = 30) -> None:
    deadline = time.monotonic() + patience_seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
