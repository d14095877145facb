"""Google's Firestore and Pub/Sub emulators: found on this machine, started, and asked what their clients cannot ask."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from local.java import find_java
from local.processes import LOOPBACK, NotStarted, Program, Server, answers, local_http

VARIABLES = {"firestore": "FIRESTORE_EMULATOR_HOST", "pubsub": "PUBSUB_EMULATOR_HOST"}
"""Where Google's clients look for an emulator, and where an address handed to us stands."""

USUAL_SDK_ROOTS = (Path("/usr/lib/google-cloud-sdk"), Path("~/google-cloud-sdk"), Path("/opt/google-cloud-sdk"))
_JARS = {
    "firestore": "platform/cloud-firestore-emulator/cloud-firestore-emulator.jar",
    "pubsub": "platform/pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar",
}
_JAVA_FOR_JARS = 11
_JAVA_FOR_FIREBASE_TOOLS = 21

# The first compiler and the simplest collector: up in two thirds of the time and about twice the writes per second in
# the first minute, which is all that a test run has. Firestore's emulator speaks nothing but English.
QUICK_START = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Duser.language=en")
#: What a long run under load wants instead: the compiler that makes the fastest code, once it is warm.
LONG_RUN = ("-XX:+UseSerialGC", "-Duser.language=en")

_NOT_FOUND = """No emulator for {missing} found. Any one of these will do:
  1. one that runs already: set {variables} to its host:port (as `firebase emulators:exec` does);
  2. the Google Cloud SDK's: `gcloud components install cloud-firestore-emulator pubsub-emulator`, or with apt
     `apt-get install google-cloud-cli-firestore-emulator google-cloud-cli-pubsub-emulator`;
     an SDK in an unusual place is found by CLOUDSDK_ROOT;
  3. Node.js: with `npx` on the PATH, firebase-tools fetches them from the internet."""


class EmulatorError(NotStarted):
    """An emulator is missing or refuses what it was asked; the message says what to do."""


class Emulators:
    """A Firestore and a Pub/Sub emulator that answer.

    Used as a context manager: what was started ends with it, what ran before stays.
    """

    def __init__(self, addresses: Mapping[str, str], servers: Sequence[Server], started: ExitStack) -> None:
        self.firestore_host = addresses["firestore"]
        self.pubsub_host = addresses["pubsub"]
        #: What was started here; empty where both ran before.
        self.servers = tuple(servers)
        self._started = started

    @classmethod
    def start(
        cls,
        environ: Mapping[str, str],
        firestore_rules: Path | None = None,
        log_directory: Path | None = None,
        sdk_roots: Sequence[Path] = USUAL_SDK_ROOTS,
        *,
        java_flags: Sequence[str] = QUICK_START,
    ) -> Self:
        """Uses the addresses in `environ`, and starts what it does not name. Returns when both answer.

        `firestore_rules` become the rules of every project that is not given its own (`put_rules`); without them all is
        allowed. An emulator that ran before keeps the rules it has. Logs go to `log_directory`, else to a temporary
        one that goes away with the emulators.

        Raises NotStarted: EmulatorError, or ServerError.
        """
        addresses = {name: environ[variable] for name, variable in VARIABLES.items() if environ.get(variable)}
        for name, address in addresses.items():
            if not answers(address):
                raise EmulatorError(f"{VARIABLES[name]}={address}, but nothing answers there.")
        missing = [name for name in VARIABLES if name not in addresses]
        with ExitStack() as started:
            if log_directory is None:
                log_directory = Path(started.enter_context(tempfile.TemporaryDirectory(prefix="emulators-")))
            log_directory.mkdir(parents=True, exist_ok=True)
            servers: list[Server] = []
            programs = find_programs(environ, missing, firestore_rules, log_directory, sdk_roots, java_flags=java_flags)
            for program in programs:
                servers.append(Server(program, log_directory))
                started.callback(servers[-1].stop)
            for server in servers:
                server.wait_until_ready()
                addresses |= server.addresses
            return cls(addresses, servers, started.pop_all())

    def environment(self) -> dict[str, str]:
        """The variables by which Google's clients in another process find these emulators."""
        return {VARIABLES["firestore"]: self.firestore_host, VARIABLES["pubsub"]: self.pubsub_host}

    def put_rules(self, project: str, text: str) -> None:
        """Makes `text` the security rules of `project`.

        Raises EmulatorError for whatever the compiler finds, with line and column. That includes its warnings: a
        function that does not exist is only a warning, and denies everything.
        """
        rules = {"rules": {"files": [{"name": "firestore.rules", "content": text}]}}
        answer = self._ask("PUT", f"projects/{project}:securityRules", rules)
        issues = [
            f"L{issue['sourcePosition']['line']}:{issue['sourcePosition']['column']} {issue['description']}"
            for issue in answer.get("issues", ())
        ]
        if issues:
            raise EmulatorError("\n".join(issues))

    def clear(self, project: str) -> None:
        """Deletes every document of `project`."""
        self._ask("DELETE", f"projects/{project}/databases/(default)/documents")

    def _ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        with local_http() as session:
            # As JSON in name too: without that Content-Type the emulator knows no such address (404).
            response = session.request(
                method, f"http://{self.firestore_host}/emulator/v1/{path}", json=body, timeout=30
            )
        if not response.ok:
            try:
                reason = response.json()["error"]["message"]
            except (ValueError, LookupError, TypeError):
                reason = response.text
            raise EmulatorError(f"{method} {path}: {response.status_code} {reason}")
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


def find_programs(
    environ: Mapping[str, str],
    missing: Sequence[str],
    rules: Path | None,
    directory: Path,
    sdk_roots: Sequence[Path] = USUAL_SDK_ROOTS,
    *,
    java_flags: Sequence[str] = QUICK_START,
) -> list[Program]:
    """What to start for the missing emulators: the SDK's jars, and firebase-tools for those it does not have."""
    jars = find_jars(environ, missing, sdk_roots)
    others = [name for name in missing if name not in jars]
    npx = shutil.which("npx", path=environ.get("PATH", ""))
    if others and not npx:
        variables = " and ".join(VARIABLES[name] for name in others)
        raise EmulatorError(_NOT_FOUND.format(missing=" and ".join(others), variables=variables))
    programs = []
    if jars:
        java = find_java(environ, _JAVA_FOR_JARS)
        programs += [_of_jar(name, [java, *java_flags], jar, rules, environ) for name, jar in jars.items()]
    if others and npx:
        java = find_java(environ, _JAVA_FOR_FIREBASE_TOOLS)
        programs.append(
            firebase_tools(npx=Path(npx), java=java, names=others, rules=rules, directory=directory, environ=environ)
        )
    return programs


def find_jars(environ: Mapping[str, str], names: Sequence[str], sdk_roots: Sequence[Path]) -> dict[str, Path]:
    """The emulators among `names` that a Google Cloud SDK on this machine has."""
    jars: dict[str, Path] = {}
    for root in _sdk_roots(environ, sdk_roots):
        if jars.keys() >= set(names):
            break
        for name in names:
            if name not in jars and (found := sorted(root.glob(_JARS[name]))):
                jars[name] = found[-1]
    return jars


def _sdk_roots(environ: Mapping[str, str], usual: Sequence[Path]) -> Iterator[Path]:
    if root := environ.get("CLOUDSDK_ROOT"):
        yield Path(root)
    gcloud = shutil.which("gcloud", path=environ.get("PATH", ""))
    if gcloud:
        yield Path(gcloud).resolve().parent.parent
    yield from (Path(str(root).replace("~", environ.get("HOME", "~"), 1)) for root in usual)
    if gcloud:  # last, because it takes a second or two: a gcloud that is a wrapper for one elsewhere
        command = [gcloud, "info", "--format=value(installation.sdk_root)"]
        answer = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
        if answer.returncode == 0:
            yield Path(answer.stdout.strip())


def _of_jar(
    name: str, java: Sequence[str | Path], jar: Path, rules: Path | None, environ: Mapping[str, str]
) -> Program:
    command: list[str | Path] = [*java]
    if name == "firestore":  # its jar names no main class
        command += ["-cp", jar, "com.google.cloud.datastore.emulator.firestore.CloudFirestore", "start"]
        command += [f"--rules={rules.resolve()}"] if rules else []
        ready_line = "Dev App Server is now running"
    else:
        command += ["-jar", jar]
        ready_line = "Server started, listening on"
    return Program(
        name=f"{name}-emulator",
        listens=(name,),
        command=lambda ports: [*command, f"--host={LOOPBACK}", f"--port={ports[name]}"],
        ready_line=ready_line,
        environ=environ,
    )


def firebase_tools(
    *, npx: Path, java: Path, names: Sequence[str], rules: Path | None, directory: Path, environ: Mapping[str, str]
) -> Program:
    """`firebase emulators:start`, which fetches the emulators it starts from the internet. It runs in `directory`."""

    def command(ports: Mapping[str, int]) -> list[str | Path]:
        if rules:  # firebase-tools refuses files outside its project directory
            shutil.copyfile(rules, directory / "firestore.rules")
        (directory / "firebase.json").write_text(json.dumps(firebase_config(ports, with_rules=bool(rules))))
        # A project named demo-… makes it ask for no login and call no real service.
        return [npx, "--yes", "firebase-tools", "emulators:start", "--only", ",".join(names), "--project", "demo-local"]

    return Program(
        name="firebase-tools",
        listens=tuple(names),
        command=command,
        ready_line="All emulators ready",
        environ={**environ, "PATH": f"{java.parent}{os.pathsep}{environ.get('PATH', '')}"},
        directory=directory,
        timeout_seconds=600,  # npm fetches some 490 MB the first time, then come the jars
    )


def firebase_config(ports: Mapping[str, int], *, with_rules: bool) -> dict[str, Any]:
    """The firebase.json for emulators on these ports. Many projects share them: each test has its own."""
    listeners = {name: {"host": LOOPBACK, "port": port} for name, port in ports.items()}
    config: dict[str, Any] = {"emulators": {**listeners, "ui": {"enabled": False}, "singleProjectMode": False}}
    if with_rules:
        config["firestore"] = {"rules": "firestore.rules"}
    return config
