"""The load generator: asks several servers in turn, on connections that stay open. A process of its own.

`python -m local.bench.load` takes a `Plan` from stdin and writes to stdout what came of each round, both as JSON. It
speaks HTTP/1.1 by hand: on a machine of two cores a comfortable client would cost more than the servers it measures.
"""

import asyncio
import json
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
#: How long the last answers of a turn may take after its time is up.
_PATIENCE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Target:
    """A server, the whole request it is sent over and over, and the text it must answer."""

    host: str
    port: int
    request: str
    expect: str

    @classmethod
    def post(cls, address: str, headers: Mapping[str, str], body: str, expect: str) -> "Target":
        """A POST to / of the server at "host:port"."""
        host, _, port = address.rpartition(":")
        lines = [f"POST / HTTP/1.1\r\nHost: {address}", *(f"{key}: {value}" for key, value in headers.items())]
        head = "\r\n".join([*lines, f"Content-Length: {len(body.encode())}", "", ""])
        return cls(host, int(port), head + body, expect)


@dataclass(frozen=True, slots=True)
class Plan:
    """In every round every target has its turn of so many seconds, on so many connections."""

    targets: Sequence[Target]
    connections: int
    seconds: float
    rounds: int


@dataclass(frozen=True, slots=True)
class Load:
    """What one turn saw. Only answers that came within its time count; all of them are checked."""

    per_second: float
    median_ms: float
    #: What came instead of a 200 with the expected text, and how often.
    wrong: dict[str, int]


def run(plan: Plan) -> list[list[Load]]:
    """For each round what each target did, in the order of the plan. Raises CalledProcessError if nobody listens."""
    command = [sys.executable, "-m", __name__]
    output = subprocess.run(command, input=json.dumps(asdict(plan)).encode(), stdout=subprocess.PIPE, check=True).stdout
    return [[Load(**load) for load in loads] for loads in json.loads(output)]


class _Connection(asyncio.Protocol):
    """One connection: sends the request, waits for the answer, sends it again until the time is up."""

    transport: asyncio.Transport

    def __init__(self, target: Target) -> None:
        self._request = target.request.encode()
        self._expect = target.expect.encode()
        self._received = b""
        self._ends = self._sent = 0.0
        self.milliseconds: list[float] = []
        self.wrong: Counter[str] = Counter()
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 -- for the type checker: this is TCP
        self.transport = transport

    def start(self, ends: float) -> None:
        self._ends = ends
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, complete, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not complete or (length and len(body) < int(length[1])):
            return
        now = time.perf_counter()
        if now <= self._ends:
            self.milliseconds.append((now - self._sent) * 1000)
        status = head[9:12]
        if status != b"200" or body.strip() != self._expect:
            self.wrong[f"{status.decode('ascii', 'replace')} {body[:100].decode('utf-8', 'replace').strip()}"] += 1
        if now < self._ends:
            self._send()
        elif not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.wrong[f"connection lost: {exc or 'closed by the server'}"] += 1
            self.done.set_result(None)

    def _send(self) -> None:
        self._received = b""
        self._sent = time.perf_counter()
        self.transport.write(self._request)


async def _turn(target: Target, connections: int, seconds: float) -> Load:
    loop = asyncio.get_running_loop()
    opened = [
        (await loop.create_connection(lambda: _Connection(target), target.host, target.port))[1]
        for _ in range(connections)
    ]
    ends = time.perf_counter() + seconds
    for connection in opened:
        connection.start(ends)
    await asyncio.wait_for(asyncio.gather(*(each.done for each in opened)), seconds + _PATIENCE_SECONDS)
    for connection in opened:
        connection.transport.close()
    milliseconds = [taken for connection in opened for taken in connection.milliseconds]
    return Load(
        per_second=len(milliseconds) / seconds,
        median_ms=statistics.median(milliseconds or [0.0]),
        wrong=dict(sum((connection.wrong for connection in opened), Counter[str]())),
    )


async def _all(plan: Plan) -> list[list[Load]]:
    rounds: list[list[Load]] = []
    for number in range(plan.rounds):
        # A machine that slows down steadily must not favour whoever comes first.
        order = plan.targets if number % 2 == 0 else plan.targets[::-1]
        loads = [await _turn(target, plan.connections, plan.seconds) for target in order]
        rounds.append(loads if number % 2 == 0 else loads[::-1])
    return rounds


def main() -> None:
    """The command line above."""
    given = json.load(sys.stdin)
    plan = Plan(**{**given, "targets": [Target(**target) for target in given["targets"]]})
    print(json.dumps([[asdict(load) for load in loads] for loads in asyncio.run(_all(plan))]))


if __name__ == "__main__":
    main()
