"""Server processes: started on a free port, watched until they answer, never outliving this process."""

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import requests

LOOPBACK = "127.0.0.1"
_GRACE_SECONDS = 5

# Between us and the program stands a pipe that only we hold open. However we end (return, exception, Ctrl-C, SIGTERM,
# SIGKILL) the kernel closes it, and the guard then ends its own process group: politely, and after the grace by force.
# An orderly stop closes the same pipe, so there is one way down and every stop exercises it. The alternatives each
# miss a case: atexit and signal handlers do not run on SIGKILL; PR_SET_PDEATHSIG is Linux's alone and fires when the
# *thread* that started the program ends. The program replaces the shell (`exec`), so its pid and exit status are what
# we see; the guard ignores SIGTERM because its own `kill 0` reaches itself too.
_GUARDED = """
grace=$1; shift
exec 3<&0
(
    trap '' TERM
    read -r _ <&3
    kill -TERM 0
    tenths=$((grace * 10))
    while [ $tenths -gt 0 ] && kill -0 $$ 2>/dev/null; do sleep 0.1; tenths=$((tenths - 1)); done
    kill -KILL 0
) </dev/null &
exec "$@" </dev/null 3<&-
"""

_PORT_TAKEN = re.compile(r"address already in use|port taken", re.IGNORECASE)


class NotStarted(Exception):
    """Part of the local system cannot be started; the message says why, and what to do where that is known."""


class ServerError(NotStarted):
    """A server did not start. The message ends with the end of its log."""


class Child:
    """A program in a process group of its own, which ends when `stop` is called or this process ends in any way."""

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        environ: Mapping[str, str],
        directory: Path | None = None,
        grace_seconds: int = _GRACE_SECONDS,
    ) -> None:
        self.log = log
        self._grace_seconds = grace_seconds
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _GUARDED, "sh", str(grace_seconds), *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environ,
                cwd=directory,
                # Ctrl-C in the terminal is for us alone: we stop what we started after our own work is wound up.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The program's process id, which is its process group's too."""
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def output(self) -> str:
        """What it has written so far, to stdout and stderr."""
        return self.log.read_text("utf-8", "replace")

    def stop(self) -> None:
        """Ends the whole group: SIGTERM, and SIGKILL after the grace. Returns when the program is gone."""
        assert self._process.stdin is not None  # noqa: S101 -- for the type checker: Popen was given stdin=PIPE
        self._process.stdin.close()
        try:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=self._grace_seconds + 2)
        finally:
            # The guard ends by itself a moment later; this makes it now, and does its work where someone killed it.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()


def free_ports(count: int) -> list[int]:
    """Different ports nobody listens on at this moment. Another process may take one: `Server` then tries others."""
    sockets = [socket.create_server((LOOPBACK, 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def local_http() -> requests.Session:
    """For talking to this machine's own ports, which a proxy named in the environment knows nothing of."""
    session = requests.Session()
    session.trust_env = False
    return session


def answers(address: str) -> bool:
    """Whether an HTTP server at "host:port" says 200 to GET /."""
    with local_http() as session:
        try:
            return session.get(f"http://{address}/", timeout=5).status_code == 200
        except requests.RequestException:
            return False


@dataclass(frozen=True)
class Program:
    """How to start one server that listens on one or more ports."""

    name: str
    listens: tuple[str, ...]
    """What to call its ports."""
    command: Callable[[Mapping[str, int]], Sequence[str | Path]]
    """From the chosen ports, under the names of `listens`, to what to run."""
    ready_line: str
    """What it logs once it has its ports. An answer alone proves nothing: it can come from whoever took the port."""
    environ: Mapping[str, str]
    directory: Path | None = None
    """Where it runs; None is where we do."""
    timeout_seconds: float = 60


class Server:
    """A running `Program`. The constructor returns at once, so that several start side by side."""

    def __init__(
        self, program: Program, log_directory: Path, choose_ports: Callable[[int], Sequence[int]] = free_ports
    ) -> None:
        self._program = program
        self._log = log_directory / f"{program.name}.log"
        self._choose_ports = choose_ports
        self._launch()

    @property
    def name(self) -> str:
        """What it is called."""
        return self._program.name

    def _launch(self) -> None:
        names = self._program.listens
        ports = dict(zip(names, self._choose_ports(len(names)), strict=True))
        self.addresses = {name: f"{LOOPBACK}:{port}" for name, port in ports.items()}
        self.child = Child(self._program.command(ports), self._log, self._program.environ, self._program.directory)

    def wait_until_ready(self) -> None:
        """Returns when every port answers; a port that somebody else took in the meantime is replaced.

        Raises ServerError when the program ends or its time is up.
        """
        deadline = time.monotonic() + self._program.timeout_seconds
        while True:
            # The status before the log: what is written last is then never missed.
            exit_status, output = self.child.exit_status, self.child.output()
            if _PORT_TAKEN.search(output):  # Pub/Sub's emulator reports this and stays up, deaf
                self.child.stop()
                self._launch()
            elif exit_status is not None:
                raise self._failure(f"ended with status {exit_status}", output)
            elif self._program.ready_line in output and all(map(answers, self.addresses.values())):
                return
            if time.monotonic() > deadline:
                raise self._failure(f"did not answer within {self._program.timeout_seconds:g} s", output)
            time.sleep(0.05)

    def _failure(self, what: str, output: str) -> ServerError:
        tail = "\n".join(output.splitlines()[-20:])
        return ServerError(f"{self._program.name} {what}. The end of {self._log}:\n{tail or '(empty)'}")

    def stop(self) -> None:
        self.child.stop()
