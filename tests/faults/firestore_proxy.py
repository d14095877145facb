"""Between the functions and the Firestore emulator: passes calls on as they are, and fails some of them when told."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

import grpc

from local.processes import LOOPBACK, free_ports

#: What the functions call that answers with a stream.
_STREAMING = frozenset({"BatchGetDocuments", "RunQuery", "RunAggregationQuery"})
#: More than the functions have threads: a call that is held up must not hold up others.
_THREADS = 128
_UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]

When = Literal["before", "after"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What happens to calls. Half of it comes before the emulator hears of the call, half once it has answered."""

    #: The share of calls that are answered with one of `codes`.
    rate: float = 0
    codes: tuple[grpc.StatusCode, ...] = ()
    #: Every call takes up to so much longer.
    delay_seconds: float = 0
    #: Of these methods the first so many calls take effect and are answered only after `stuck_seconds`.
    stuck_method: str = ""
    stuck_calls: int = 0
    stuck_seconds: float = 0


@dataclass(frozen=True, slots=True)
class _Fate:
    """What was decided of one call."""

    wait: dict[When, float]
    code: grpc.StatusCode | None = None
    when: When = "before"


class FirestoreProxy(grpc.GenericRpcHandler):
    """Listens on a port of its own, the same one again after `refuse` and `listen`."""

    def __init__(self, emulator: str, *, seed: int) -> None:
        """`emulator` is "host:port"."""
        self._channel = grpc.insecure_channel(emulator, options=_UNLIMITED)
        self._port = free_ports(1)[0]
        self._server: grpc.Server | None = None
        self._lock = threading.Lock()
        self._chance = random.Random(seed)
        self._trouble = Trouble()
        self._stuck = 0
        #: (method, status, before or after the emulator did it) of every call that was failed.
        self.failed: Counter[tuple[str, str, str]] = Counter()

    @property
    def host(self) -> str:
        """For FIRESTORE_EMULATOR_HOST."""
        return f"{LOOPBACK}:{self._port}"

    def listen(self) -> None:
        """Accept connections."""
        server = grpc.server(ThreadPoolExecutor(_THREADS), options=_UNLIMITED)
        server.add_generic_rpc_handlers((self,))
        if server.add_insecure_port(self.host) != self._port:
            raise OSError(f"{self.host} is somebody else's")
        server.start()
        self._server = server

    def refuse(self) -> None:
        """Cut every connection, and accept none."""
        if self._server:
            self._server.stop(0).wait()
        self._server = None

    def make(self, trouble: Trouble) -> None:
        """From now on. `Trouble()` is none."""
        with self._lock:
            self._trouble = trouble
            self._stuck = trouble.stuck_calls
            self.failed.clear()

    def __enter__(self) -> Self:
        self.listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.refuse()
        self._channel.close()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any]":
        """gRPC asks how a method is served: by the emulator, bytes in and bytes out."""
        path = handler_call_details.method
        if path.rpartition("/")[2] in _STREAMING:
            stream: Callable[..., Any] = self._channel.unary_stream(path, None, None)
            return grpc.unary_stream_rpc_method_handler(lambda *call: self._pass_on(path, stream, *call))
        unary: Callable[..., Any] = self._channel.unary_unary(path, None, None)

        def once(*args: Any, **named: Any) -> list[bytes]:
            return [unary(*args, **named)]

        return grpc.unary_unary_rpc_method_handler(lambda *call: next(self._pass_on(path, once, *call)))

    def _pass_on(
        self, path: str, ask: Callable[..., Any], request: bytes, context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        method = path.rpartition("/")[2]
        fate = self._decide(method)
        time.sleep(fate.wait["before"])
        if fate.code and fate.when == "before":
            self._fail(method, fate, context)
        # The emulator takes whoever has this header for the server itself, whom no rule restricts.
        headers = [pair for pair in context.invocation_metadata() if not pair[0].startswith(("grpc-", "user-agent"))]
        try:
            # The whole answer before a byte of it, so that "after" means that it took effect.
            answers = list(ask(request, metadata=headers, timeout=60))
        except grpc.RpcError as error:
            context.abort(error.code(), error.details() or "")
        time.sleep(fate.wait["after"])
        if fate.code:
            self._fail(method, fate, context)
        yield from answers

    def _fail(self, method: str, fate: _Fate, context: grpc.ServicerContext) -> None:
        assert fate.code
        with self._lock:
            self.failed[method, fate.code.name, fate.when] += 1
        context.abort(fate.code, "asked for by a test")

    def _decide(self, method: str) -> _Fate:
        with self._lock:
            chance, trouble = self._chance, self._trouble
            when: When = chance.choice(("before", "after"))
            wait: dict[When, float] = {"before": 0.0, "after": 0.0}
            if trouble.delay_seconds:
                wait[chance.choice(("before", "after"))] = chance.uniform(0, trouble.delay_seconds)
            if self._stuck and method == trouble.stuck_method:
                self._stuck -= 1
                self.failed[method, "stuck", "after"] += 1
                wait["after"] += trouble.stuck_seconds
            if chance.random() < trouble.rate:
                return _Fate(wait, chance.choice(trouble.codes), when)
            return _Fate(wait)
