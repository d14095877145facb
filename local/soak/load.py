"""Stripe's side: many connections that stay open, every delivery signed anew and repeated until it is accepted."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from local.sender import sign

#: How often one delivery is tried before it counts as lost, and how long apart.
ATTEMPTS = 20
PAUSE_SECONDS = 0.5
_TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request: when it was sent, in seconds since the start, how long it took and what was said."""

    at: float
    seconds: float
    said: str

    @property
    def is_accepted(self) -> bool:
        """Whether Stripe would not send it again."""
        return self.said.startswith("200 ")


class Load:
    """Sends deliveries; `answers` grows while it does."""

    def __init__(self, url: str, secret: str) -> None:
        self._url = urlsplit(url)
        self._secret = secret
        self._lock = Lock()
        self._waiting: Iterator[Mapping[str, Any]] = iter(())
        self._started = 0.0
        self.answers: list[Answer] = []
        #: How often each event was accepted, by its id.
        self.accepted: Counter[str] = Counter()

    def send(self, deliveries: Sequence[Mapping[str, Any]], *, connections: int, tell: Callable[[], None]) -> None:
        """Deliver all of them, in about this order; `tell` is called after each. Returns when all were answered."""
        self._waiting, self._started = iter(deliveries), time.perf_counter()
        with ThreadPoolExecutor(connections) as pool:
            for worker in [pool.submit(self._work, tell) for _ in range(connections)]:
                worker.result()

    def _work(self, tell: Callable[[], None]) -> None:
        # A comfortable client would take more of the machine than the webhook that it asks.
        connection = HTTPConnection(str(self._url.hostname), self._url.port, timeout=_TIMEOUT_SECONDS)
        while True:
            with self._lock:
                event = next(self._waiting, None)
            if event is None:
                connection.close()
                return
            body = json.dumps(event, ensure_ascii=False).encode()
            for _ in range(ATTEMPTS):
                answer = self._ask(connection, body)
                self.answers.append(answer)
                if answer.is_accepted:
                    with self._lock:
                        self.accepted[event["id"]] += 1
                    break
                time.sleep(PAUSE_SECONDS)
            tell()

    def _ask(self, connection: HTTPConnection, body: bytes) -> Answer:
        headers = {"Stripe-Signature": sign(body, self._secret), "Content-Type": "application/json; charset=utf-8"}
        sent = time.perf_counter()
        try:
            connection.request("POST", self._url.path, body, headers)
            response = connection.getresponse()
            said = f"{response.status} {response.read().decode('utf-8', 'replace').strip()}"
        except (OSError, HTTPException) as error:
            connection.close()
            said = type(error).__name__
        return Answer(sent - self._started, time.perf_counter() - sent, said)
