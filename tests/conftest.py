"""What many tests share: the emulators, one of each for the whole run, and a project of its own for each test."""

import json
import os
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from google.cloud.firestore import Client
from google.cloud.pubsub_v1 import PublisherClient
from hypothesis import HealthCheck, settings

from local.auth_emulator import AuthEmulator
from local.emulators import Emulators

# No deadline: a shared machine stalls now and then, and that is not a bug. The blob reproduces a failure elsewhere.
# A property may use `project` and the clients, which then serve all of its examples.
settings.register_profile(
    "ci",
    deadline=None,
    derandomize=False,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("ci")


@pytest.fixture(scope="session")
def emulators() -> Iterator[Emulators]:
    """The two emulators. Google's clients, here and in child processes, find them by the environment."""
    with Emulators.start(os.environ) as started:
        os.environ.update(started.environment())
        yield started


@pytest.fixture(scope="session")
def auth_emulator() -> Iterator[AuthEmulator]:
    """The Auth emulator. Firebase's clients, here and in child processes, find it by the environment."""
    with AuthEmulator.start(os.environ) as started:
        os.environ.update(started.environment())
        yield started


@pytest.fixture
def project(emulators: Emulators) -> str:  # noqa: ARG001 -- whoever has a project wants the emulators running
    """The id of a project that nobody used before: nothing to clear, nothing to trip over."""
    return f"test-{secrets.token_hex(6)}"


@pytest.fixture
def firestore_client(project: str) -> Client:
    """The server's own access to the project's documents, which no rule restricts."""
    return Client(project=project)


@pytest.fixture
def publisher(emulators: Emulators) -> Iterator[PublisherClient]:  # noqa: ARG001 -- found by the environment
    """A publisher for any project; topics are the test's to create."""
    with PublisherClient() as client:
        yield client


@dataclass(frozen=True)
class Reply:
    """What `Answering` says to a request."""

    status: int = 200
    body: object = field(default_factory=dict)
    """JSON, unless it is bytes."""
    headers: dict[str, str] = field(default_factory=dict)
    wait_seconds: float = 0


@dataclass(frozen=True)
class Asked:
    """A request that `Answering` has had."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    """What JSON says, else the text."""


class Answering:
    """A web server that says what a test tells it to: `replies` in their order, the last one for ever."""

    def __init__(self) -> None:
        self.replies = [Reply()]
        self.asked: list[Asked] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                is_json = self.headers.get("Content-Type") == "application/json"
                body = json.loads(text) if is_json else text.decode()
                outer.asked.append(Asked(self.command, self.path, dict(self.headers), body))
                reply = outer.replies.pop(0) if len(outer.replies) > 1 else outer.replies[0]
                time.sleep(reply.wait_seconds)
                content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
                self.send_response(reply.status)
                for name, value in {"Content-Length": str(len(content)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = answer  # noqa: N815 -- their names are the standard library's

            def log_message(self, format: str, *_args: object) -> None:  # noqa: A002 -- as the class has it
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_port}"

    def say(self, *replies: Reply) -> None:
        self.replies = list(replies)


@pytest.fixture
def answering() -> Iterator[Answering]:
    """A web server of the test's own."""
    running = Answering()
    thread = threading.Thread(target=running.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield running
    running.server.shutdown()
    running.server.server_close()
    thread.join()
