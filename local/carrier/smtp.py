"""One SMTP conversation, and what went wrong with it in nodemailer's words."""

import errno
import smtplib
import socket
from contextlib import suppress
from typing import Any

from local.carrier.documents import Undelivered
from local.carrier.letter import Letter


def send(letter: Letter, smtp: tuple[str, int], timeout_seconds: float) -> dict[str, Any]:
    """One conversation; returns `delivery.info`. Raises Undelivered in the words of nodemailer, as the extension."""
    host, port = smtp
    try:
        # The name is given because Python would ask the DNS for one, which takes seconds on some machines.
        server = smtplib.SMTP(host, port, "[127.0.0.1]", timeout_seconds)
    except (OSError, smtplib.SMTPException) as problem:
        raise Undelivered(f"Error: {_no_connection(problem, host, port)}") from problem
    try:
        return _converse(server, letter)
    except smtplib.SMTPServerDisconnected as problem:
        silent = isinstance(problem.__context__, TimeoutError)
        raise Undelivered(f"Error: {'Timeout' if silent else 'Connection closed unexpectedly'}") from problem
    except smtplib.SMTPHeloError as problem:
        raise Undelivered(f"Error: Invalid HELO: {_said(problem.smtp_code, problem.smtp_error)}") from problem
    except smtplib.SMTPDataError as problem:
        raise Undelivered(f"Error: Data command failed: {_said(problem.smtp_code, problem.smtp_error)}") from problem
    except smtplib.SMTPNotSupportedError as problem:
        raise Undelivered("Error: Internationalized mailbox name not allowed") from problem
    finally:
        # The answer to the message is what counts; a server may already be gone.
        with suppress(smtplib.SMTPException):
            server.quit()


def _converse(server: smtplib.SMTP, letter: Letter) -> dict[str, Any]:
    server.ehlo_or_helo_if_needed()
    international = not "".join((letter.sender, *letter.recipients)).isascii()
    code, answer = server.mail(letter.sender, ["SMTPUTF8"] if international else [])
    if code // 100 != 2:
        raise Undelivered(f"Error: Mail command failed: {_said(code, answer)}")
    accepted: list[str] = []
    rejected: list[str] = []
    for recipient in letter.recipients:
        code, answer = server.rcpt(recipient)
        (accepted if code // 100 == 2 else rejected).append(recipient)
    if not accepted:
        raise Undelivered(f"Error: Can't send mail - all recipients were rejected: {_said(code, answer)}")
    code, answer = server.data(letter.content)
    if code // 100 != 2:
        raise Undelivered(f"Error: Message failed: {_said(code, answer)}")
    return {
        "messageId": letter.message_id,
        "accepted": accepted,
        "rejected": rejected,
        "pending": [],
        "response": _said(code, answer),
    }


def _no_connection(problem: Exception, host: str, port: int) -> str:
    match problem:
        case smtplib.SMTPConnectError():
            return f"Invalid greeting: {_said(problem.smtp_code, problem.smtp_error)}"
        case smtplib.SMTPServerDisconnected():
            silent = isinstance(problem.__context__, TimeoutError)
            return "Greeting never received" if silent else "Connection closed unexpectedly"
        case socket.gaierror():
            return f"getaddrinfo ENOTFOUND {host}"
        case TimeoutError():
            return "Connection timeout"
        case OSError(errno=int(number)):
            return f"connect {errno.errorcode.get(number, number)} {host}:{port}"
    return str(problem)


def _said(code: int, answer: bytes | str) -> str:
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    return f"{code} {text}"
