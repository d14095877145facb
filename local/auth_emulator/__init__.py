"""Firebase's Auth emulator: started, or found running, and asked what Firebase's clients cannot ask."""

import json
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from local.auth_emulator.packages import find_node, install, web_sdk
from local.processes import LOOPBACK, NotStarted, Program, Server, answers, free_ports, local_http

__all__ = ["DEFAULT_PROJECT", "VARIABLE", "AuthEmulator", "install", "web_sdk"]

VARIABLE = "FIREBASE_AUTH_EMULATOR_HOST"
"""Where Firebase's server clients look for an emulator, and where an address handed to us stands."""

#: Named demo-…, it makes firebase-tools ask for no login and call no real service.
DEFAULT_PROJECT = "demo-local"


class AuthEmulator:
    """An Auth emulator that answers, for any number of projects.

    Used as a context manager: what was started ends with it, what ran before stays.
    """

    def __init__(self, host: str, servers: tuple[Server, ...], started: ExitStack) -> None:
        self.host = host
        #: What was started here; empty where it ran before.
        self.servers = servers
        self._started = started

    @classmethod
    def start(
        cls, environ: Mapping[str, str], log_directory: Path | None = None, *, project: str = DEFAULT_PROJECT
    ) -> Self:
        """Uses the address in `environ` where one answers there, and else starts one. Returns when it answers.

        Installs it first where that has not been done. Its log, and its settings, go to `log_directory`, else to a
        temporary one that goes away with the emulator. `project` is the one that requests with nothing but an API key
        are about: those of web pages, and of whoever follows a link from a mail. Servers name theirs.

        Raises NotStarted: there is no Node.js, npm fails, or ServerError.
        """
        with ExitStack() as started:
            if (address := environ.get(VARIABLE)) and answers(address):
                return cls(address, (), started.pop_all())
            if log_directory is None:
                log_directory = Path(started.enter_context(tempfile.TemporaryDirectory(prefix="auth-emulator-")))
            log_directory.mkdir(parents=True, exist_ok=True)
            server = Server(program(environ, log_directory, project), log_directory)
            started.callback(server.stop)
            server.wait_until_ready()
            return cls(server.addresses["auth"], (server,), started.pop_all())

    def environment(self) -> dict[str, str]:
        """The variable by which Firebase's clients in another process find this emulator."""
        return {VARIABLE: self.host}

    def clear(self, project: str) -> None:
        """Deletes every account of `project`."""
        self._ask("DELETE", f"projects/{project}/accounts")

    def oob_codes(self, project: str) -> list[dict[str, str]]:
        """The links of `project` that nobody has used yet, oldest first: `email requestType oobCode oobLink` of each.

        They are what Firebase would mail, and those that were asked for without a mail.
        """
        codes: list[dict[str, str]] = self._ask("GET", f"projects/{project}/oobCodes")["oobCodes"]
        return codes

    def _ask(self, method: str, path: str) -> dict[str, Any]:
        with local_http() as session:
            response = session.request(method, f"http://{self.host}/emulator/v1/{path}", timeout=30)
        if not response.ok:
            raise NotStarted(f"{method} {path}: {response.status_code} {response.text}")
        return dict(response.json())

    def stop(self) -> None:
        """Ends what was started here. Again is harmless."""
        self._started.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def program(environ: Mapping[str, str], directory: Path, project: str = DEFAULT_PROJECT) -> Program:
    """The emulator as a server to start, in `directory`. Installs it where that has not been done."""
    cli = install(environ) / "firebase-tools" / "lib" / "bin" / "firebase.js"
    node = find_node(environ)
    place = directory.resolve()

    def command(ports: Mapping[str, int]) -> list[str | Path]:
        # The hub and the log have usual ports, which two runs at once would both want.
        hub, logging = free_ports(2)
        listeners = {"auth": ports["auth"], "hub": hub, "logging": logging}
        emulators: dict[str, Any] = {name: {"host": LOOPBACK, "port": port} for name, port in listeners.items()}
        # Many projects share it: each test has its own.
        emulators |= {"ui": {"enabled": False}, "singleProjectMode": False}
        (directory / "firebase.json").write_text(json.dumps({"emulators": emulators}))
        config = f"--config={place}/firebase.json"
        return [node, cli, "emulators:start", "--only", "auth", "--project", project, config]

    quiet = {
        "NO_UPDATE_NOTIFIER": "1",
        "CI": "1",  # no message of the day
        "XDG_CONFIG_HOME": str(place),  # not the login of whoever runs it, nor their consent to be measured
        "TMPDIR": str(place),  # where it looks for others of its kind
    }
    return Program(
        name="auth-emulator",
        listens=("auth",),
        command=command,
        ready_line="All emulators ready",
        environ={**environ, **quiet},
        directory=directory,
        timeout_seconds=180,  # ten of one free core go into its own API description
    )
