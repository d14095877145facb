"""Carries mail documents to an SMTP server on this machine, as Firebase's Trigger Email extension does in the cloud.

States, fields and texts are those of firestore-send-email 0.2.8:
https://firebase.google.com/docs/extensions/official/firestore-send-email/delivery-status
"""

import logging
import re
from datetime import UTC, datetime
from typing import Any

from google.api_core.exceptions import FailedPrecondition, GoogleAPIError, NotFound
from google.cloud.firestore import Client, DocumentReference, Increment

from functions.clock import Clock
from local.background import Background
from local.carrier.documents import Document, Undelivered, next_step
from local.carrier.letter import compose
from local.carrier.smtp import send

_FIRESTORE_SECONDS = 10
_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/@\[\]]+)):([0-9]{1,5})")
log = logging.getLogger(__name__)


def parse_smtp(text: str) -> tuple[str, int]:
    """Host and port of "host:port" or "[::1]:1025". Raises ValueError."""
    found = _ADDRESS.fullmatch(text.strip())
    if not found or not 0 < int(found[3]) < 65_536:
        raise ValueError(f"{text!r} is no SMTP server's address. Write host:port, as 127.0.0.1:1025 or [::1]:1025.")
    return found[1] or found[2], int(found[3])


class Carrier(Background):
    """While the block lasts, a thread delivers what is written to the collection. Two carriers deliver it once.

    It asks again and again instead of listening: that survives an emulator that restarts.
    """

    def __init__(
        self,
        client: Client,
        collection: str,
        smtp: tuple[str, int],
        sender: str,
        clock: Clock,
        *,
        poll_seconds: float = 0.3,
        smtp_timeout_seconds: float = 10,
    ) -> None:
        self._client = client
        self._collection = client.collection(collection)
        self._smtp = smtp
        self._sender = sender
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._timeout = smtp_timeout_seconds
        #: Document id -> when it was last written, as far as this carrier has looked at it. None: never looked at all.
        self._seen: dict[str, datetime] | None = None
        super().__init__("carrier")

    def _run(self) -> None:
        well = True
        while not self._stopping.is_set():
            try:
                self._look()
                well = True
            except Exception as problem:
                # Once, not three times a second for as long as an emulator is away.
                if well:
                    expected = isinstance(problem, GoogleAPIError)
                    log.warning("mail waits, Firestore cannot be read: %s", problem, exc_info=not expected)
                well = False
            self._stopping.wait(self._poll_seconds)

    def _look(self) -> None:
        """Attend to each document that was written since the last look, as the extension's trigger does.

        Mail that waited when the first look is taken goes out too. A document in PROCESSING does not count as written
        then: in the cloud it stays as it is until somebody writes to it.
        """
        # No retries by the library, which would try for minutes and keep `__exit__` waiting: the next look is one.
        query = self._collection.select(["delivery.state"])
        snapshots = list(query.stream(retry=None, timeout=_FIRESTORE_SECONDS))
        first, seen = self._seen is None, self._seen or {}
        self._seen = seen
        for snapshot in snapshots:
            if self._stopping.is_set():
                return
            if seen.get(snapshot.id) == snapshot.update_time:
                continue
            delivery = (snapshot.to_dict() or {}).get("delivery")
            state = delivery.get("state") if isinstance(delivery, dict) else None
            try:
                if state not in {"SUCCESS", "ERROR"} and not (first and state == "PROCESSING"):
                    self._attend(snapshot.reference)
            except GoogleAPIError as problem:
                log.warning("%s is looked at again: %s", snapshot.reference.path, problem)
                continue
            except Exception:
                log.exception("%s is left alone until somebody writes to it", snapshot.reference.path)
            seen[snapshot.id] = snapshot.update_time

    def _attend(self, reference: DocumentReference) -> None:
        snapshot = reference.get(timeout=_FIRESTORE_SECONDS)
        document = snapshot.to_dict() or {}
        changes = next_step(document, self._now())
        if not changes:
            return
        unchanged = self._client.write_option(last_update_time=snapshot.update_time)
        try:
            reference.update(changes, option=unchanged, timeout=_FIRESTORE_SECONDS)
        except (FailedPrecondition, NotFound):
            # Another carrier, or somebody else, was faster. What they wrote is attended to at the next look.
            return
        if changes.get("delivery.state") == "PROCESSING":
            outcome = self._deliver(document)
            if outcome["delivery.error"]:
                log.warning("%s was not delivered: %s", reference.path, outcome["delivery.error"])
            # Whatever the state is by now: the attempt was made, and saying so is what prevents a second one.
            reference.update(outcome, timeout=_FIRESTORE_SECONDS)

    def _deliver(self, document: Document) -> dict[str, Any]:
        """One attempt; returns what to write of it. Whatever goes wrong is the mail's error, as in the extension."""
        outcome: dict[str, Any] = {"delivery.state": "ERROR", "delivery.leaseExpireTime": None}
        try:
            letter = compose(document, self._sender, self._now())
            outcome |= {
                "delivery.info": send(letter, self._smtp, self._timeout),
                "delivery.state": "SUCCESS",
                "delivery.error": None,
            }
        except Undelivered as problem:
            outcome["delivery.error"] = str(problem)
        except Exception as problem:
            log.exception("an error that nobody expected")
            outcome["delivery.error"] = f"Error: {problem}"
        return outcome | {"delivery.attempts": Increment(1), "delivery.endTime": self._now()}

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now(), UTC)
