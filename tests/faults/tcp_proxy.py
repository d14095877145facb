"""Between the functions and a server: passes bytes on, is away when told, or cuts an answer in the middle."""

import socket
import struct
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

from local.processes import LOOPBACK, free_ports

#: Closing with this set resets the connection, as a crash does.
_RESET = struct.pack("ii", 1, 0)


class TcpProxy:
    """Listens on a port of its own, the same one again after `refuse` and `listen`."""

    def __init__(self, target: str = "") -> None:
        """`target` is "host:port", and may be set later."""
        self.target = target
        self._port = free_ports(1)[0]
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._cuts: list[int] = []
        #: How many answers were cut.
        self.cut = 0

    @property
    def host(self) -> str:
        """Where it listens."""
        return f"{LOOPBACK}:{self._port}"

    def listen(self) -> None:
        """Accept connections."""
        self._listener = socket.create_server((LOOPBACK, self._port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def refuse(self) -> None:
        """Cut every connection, and accept none."""
        if self._listener:
            # Whoever waits in accept() only wakes up by this.
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        self._listener = None
        with self._lock:
            cut, self._open = self._open, set()
        for connection in cut:
            _reset(connection)

    def cut_answers(self, *, after_bytes: int, times: int) -> None:
        """Reset the next so many connections once so many bytes of an answer came through."""
        with self._lock:
            self._cuts = [after_bytes] * times
            self.cut = 0

    def __enter__(self) -> Self:
        self.listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.refuse()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                host, _, port = self.target.rpartition(":")
                server = socket.create_connection((host, int(port)))
            except OSError:
                _reset(client)
                continue
            with self._lock:
                self._open |= {client, server}
            for source, sink, is_answer in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pump, args=(source, sink, is_answer), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, is_answer: bool) -> None:
        passed = 0
        with suppress(OSError):
            while chunk := source.recv(1 << 16):
                passed += len(chunk)
                left = self._cut(passed) if is_answer else None
                if left is not None:
                    sink.sendall(chunk[: len(chunk) - (passed - left)])
                    break
                sink.sendall(chunk)
            else:
                with suppress(OSError):
                    sink.shutdown(socket.SHUT_WR)
                return
        with self._lock:
            self._open -= {source, sink}
        _reset(source)
        _reset(sink)

    def _cut(self, passed: int) -> int | None:
        """After how many bytes this answer ends; None where it goes on."""
        with self._lock:
            if not self._cuts or passed <= self._cuts[0]:
                return None
            self.cut += 1
            return self._cuts.pop(0)


def _reset(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        # A thread that waits in recv() keeps the connection open until this.
        connection.shutdown(socket.SHUT_RDWR)
    with suppress(OSError):
        connection.close()
