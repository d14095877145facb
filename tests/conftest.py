"""What many tests share: one pair of emulators for the whole run, and a project of its own for each test."""

import os
import secrets
from collections.abc import Iterator

import pytest
from google.cloud.firestore import Client
from google.cloud.pubsub_v1 import PublisherClient
from hypothesis import HealthCheck, settings

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
