"""The Auth emulator is installed once, found or started, answers when it is said to, and leaves nothing behind."""

import base64
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import firebase_admin  # type: ignore[import-untyped]
import pytest
import requests
from firebase_admin import auth

from local.auth_emulator import VARIABLE, AuthEmulator, install, web_sdk
from local.auth_emulator.packages import MANIFESTS, find_node
from local.processes import NotStarted, answers, free_ports
from tests.test_emulators import eventually, executable, live_processes

ROOT = Path(__file__).parent.parent


def without_address() -> dict[str, str]:
    """This process's environment, but for the emulator that the other tests use."""
    return {name: value for name, value in os.environ.items() if name != VARIABLE}


def left_in(directory: Path) -> list[str]:
    """The processes that were told of this folder, and whatever guards them."""
    return [row for row in live_processes("args") if str(directory) in row]


def all_gone(directory: Path) -> bool:
    return not left_in(directory)


# Running.


def test_each_project_has_its_own_accounts_and_links(auth_emulator: AuthEmulator) -> None:
    first, second = projects = [f"demo-{secrets.token_hex(6)}" for _ in range(2)]
    apps = {each: firebase_admin.initialize_app(options={"projectId": each}, name=each) for each in projects}
    auth.create_user(uid="user-1", email="taro@example.com", app=apps[first])
    link = auth.generate_password_reset_link("taro@example.com", app=apps[first])

    [code] = auth_emulator.oob_codes(first)
    assert (code["email"], code["requestType"], code["oobLink"]) == ("taro@example.com", "PASSWORD_RESET", link)
    assert f"oobCode={code['oobCode']}" in link
    assert auth_emulator.oob_codes(second) == []

    auth_emulator.clear(second)
    assert auth.get_user("user-1", app=apps[first]).email == "taro@example.com"
    auth_emulator.clear(first)
    with pytest.raises(auth.UserNotFoundError):
        auth.get_user("user-1", app=apps[first])
    for app in apps.values():
        firebase_admin.delete_app(app)


def test_an_address_in_the_environment_is_used_and_left_running(auth_emulator: AuthEmulator) -> None:
    with AuthEmulator.start(auth_emulator.environment()) as given:
        assert given.environment() == {VARIABLE: auth_emulator.host}
        assert given.servers == ()
    assert answers(auth_emulator.host)


def test_two_start_side_by_side_and_stopping_leaves_no_process_and_keeps_the_log(tmp_path: Path) -> None:
    """One of them where the address it was given is nobody's, and for a project of its own."""
    stale = {**os.environ, VARIABLE: f"127.0.0.1:{free_ports(1)[0]}"}
    folders = [tmp_path / "first", tmp_path / "second"]
    with ThreadPoolExecutor(2) as pool:
        starting = [
            pool.submit(AuthEmulator.start, without_address(), folders[0]),
            pool.submit(AuthEmulator.start, stale, folders[1], project="demo-shop"),
        ]
        first, second = (each.result() for each in starting)
    hosts = [first.host, second.host]
    assert len({*hosts, stale[VARIABLE]}) == 3
    assert all(map(answers, hosts))

    # What a web page says of itself is an API key, and that is the default project's.
    url = f"http://{second.host}/identitytoolkit.googleapis.com/v1/accounts:signUp?key=any"
    token = requests.post(url, json={"returnSecureToken": True}, timeout=10).json()["idToken"]
    assert json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))["aud"] == "demo-shop"

    for emulator, folder in zip((first, second), folders, strict=True):
        assert left_in(folder)
        emulator.stop()
        emulator.stop()
        assert eventually(partial(all_gone, folder))
        assert "All emulators ready" in (folder / "auth-emulator.log").read_text("utf-8")
    assert not any(map(answers, hosts))


def test_a_parent_killed_outright_leaves_no_emulator(tmp_path: Path) -> None:
    script = """
import os, signal, sys
from pathlib import Path
from local.auth_emulator import AuthEmulator
with AuthEmulator.start(os.environ, Path(sys.argv[1])) as emulator:
    print(emulator.host, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    parent = subprocess.run(command, cwd=ROOT, env=without_address(), capture_output=True, text=True, check=False)
    assert parent.returncode == -signal.SIGKILL, parent.stderr
    assert parent.stdout.strip()
    assert eventually(lambda: not left_in(tmp_path))
    assert not answers(parent.stdout.strip())


# Installing. The registry's part is played by an npm of the test's own: the fixtures above used the real one.


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "package.json").write_text("{}")
    (folder / "package-lock.json").write_text("{}")
    return folder


def machine(
    tmp_path: Path, node: str = "v20.20.2", npm: str = "mkdir node_modules; touch node_modules/a"
) -> dict[str, str]:
    """A machine with these and nothing else but what every one has."""
    executable(tmp_path / "bin/node", f"echo {node}")
    executable(tmp_path / "bin/npm", npm)
    return {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}


def test_everything_is_pinned_to_the_public_registry() -> None:
    wanted = json.loads((MANIFESTS / "package.json").read_text("utf-8"))["dependencies"]
    locked = json.loads((MANIFESTS / "package-lock.json").read_text("utf-8"))["packages"]
    assert {name: locked[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    for path, package in locked.items():
        assert not path or package["resolved"].startswith("https://registry.npmjs.org/"), path
        assert not path or package["integrity"], path


def test_the_web_sdk_is_there() -> None:
    folder = web_sdk(os.environ)
    for name in ("firebase-app.js", "firebase-auth.js", "firebase-firestore.js"):
        assert (folder / name).is_file()
    assert folder.is_relative_to(ROOT / ".local")


def test_it_is_installed_once_per_lock_file(
    tmp_path: Path, manifests: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = machine(tmp_path, npm=f"echo $@ >> {tmp_path}/calls; mkdir node_modules; touch node_modules/a")
    first = install(environ, manifests, tmp_path / "installed")
    assert (first / "a").exists()
    assert capsys.readouterr().out.count("\n") == 1
    assert install({"PATH": ""}, manifests, tmp_path / "installed") == first
    assert capsys.readouterr().out == ""

    (manifests / "package-lock.json").write_text('{"lockfileVersion": 3}')
    assert install(environ, manifests, tmp_path / "installed") != first
    calls = (tmp_path / "calls").read_text().splitlines()
    assert len(calls) == 2
    assert all(call.startswith("ci --ignore-scripts ") for call in calls)


def test_two_at_once_install_once(tmp_path: Path, manifests: Path, capsys: pytest.CaptureFixture[str]) -> None:
    environ = machine(
        tmp_path, npm=f"echo npm >> {tmp_path}/calls; sleep 0.5; mkdir node_modules; touch node_modules/a"
    )
    both = threading.Barrier(2)

    def one(_: int) -> Path:
        both.wait()
        return install(environ, manifests, tmp_path / "installed")

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(one, range(2))
    assert first == second
    assert (tmp_path / "calls").read_text() == "npm\n"
    assert "Waiting for another run" in capsys.readouterr().out


def test_what_a_killed_run_left_is_replaced(tmp_path: Path, manifests: Path) -> None:
    environ = machine(tmp_path, npm="mkdir node_modules; touch node_modules/half; sleep 60")
    script = """
import json, os, sys
from pathlib import Path
from local.auth_emulator import install
install(json.loads(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
"""
    command = [sys.executable, "-c", script, json.dumps(environ), str(manifests), str(tmp_path / "installed")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as parent:
        assert eventually(lambda: bool(list(tmp_path.glob("installed/*/node_modules/half"))))
        parent.kill()
    assert eventually(lambda: not left_in(tmp_path / "bin"))
    packages = install(machine(tmp_path), manifests, tmp_path / "installed")
    assert [path.name for path in packages.iterdir()] == ["a"]


def test_an_npm_that_fails_is_quoted_and_tried_again_next_time(tmp_path: Path, manifests: Path) -> None:
    broken = machine(tmp_path, npm="echo npm error ENOTFOUND registry; exit 7")
    for _ in range(2):
        with pytest.raises(NotStarted, match=r"(?s)npm ci ended with status 7\..*ENOTFOUND registry"):
            install(broken, manifests, tmp_path / "installed")
    assert install(machine(tmp_path), manifests, tmp_path / "installed").is_dir()


@pytest.mark.parametrize(
    ("node", "npm", "says"),
    [
        (None, None, "node and npm not on the PATH"),
        ("v20.20.2", None, "npm not on the PATH"),
        (None, "exit 0", "node not on the PATH"),
        ("v18.19.1", "exit 0", r"node is v18\.19\.1"),
        ("", "exit 0", "node is unusable"),
    ],
)
def test_no_usable_node_says_what_to_install(tmp_path: Path, node: str | None, npm: str | None, says: str) -> None:
    if node is not None:
        executable(tmp_path / "bin/node", f"echo {node}")
    if npm is not None:
        executable(tmp_path / "bin/npm", npm)
    with pytest.raises(NotStarted, match=says) as raised:
        find_node({"PATH": str(tmp_path / "bin")})
    for way in ("nvm install 20", "apt-get install nodejs npm", VARIABLE):
        assert way in str(raised.value)


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    def run(path: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "local.auth_emulator", *arguments]
        return subprocess.run(command, cwd=ROOT, env={"PATH": path}, capture_output=True, text=True, check=False)

    assert run("").returncode == 1
    assert "Usage" in run("").stderr
    # Installed already, by the tests above if not before.
    install(os.environ)
    assert run(str(tmp_path), "install").returncode == 0
