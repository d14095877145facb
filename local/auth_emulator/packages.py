"""What npm installs for the Auth emulator: once per lock file, inside this project, and nothing of it runs scripts."""

import fcntl
import hashlib
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from local.processes import Child, NotStarted

MANIFESTS = Path(__file__).parent
INSTALLATIONS = MANIFESTS.parent.parent / ".local" / "auth_emulator"
OLDEST_NODE = 20
TIMEOUT_SECONDS = 1200

_NO_NODE = """The Auth emulator needs Node.js {oldest} or newer with npm; {found}. Any one of these will do:
  1. Node.js from https://nodejs.org, or a version manager such as nvm: `nvm install {oldest}`;
  2. on Debian 13 and Ubuntu 25.10 or newer: `apt-get install nodejs npm`;
  3. an Auth emulator that runs already: set FIREBASE_AUTH_EMULATOR_HOST to its host:port."""


def find_node(environ: Mapping[str, str]) -> Path:
    """The `node` on the PATH, which npm runs on too. Raises NotStarted where it is too old, or either is missing."""
    path = environ.get("PATH", "")
    node, npm = shutil.which("node", path=path), shutil.which("npm", path=path)
    if not node or not npm:
        missing = " and ".join(name for name, found in (("node", node), ("npm", npm)) if not found)
        raise NotStarted(_NO_NODE.format(oldest=OLDEST_NODE, found=f"{missing} not on the PATH"))
    answer = subprocess.run([node, "--version"], env=environ, capture_output=True, text=True, timeout=60, check=False)
    version = re.match(r"v(\d+)\.", answer.stdout)
    if not version or int(version[1]) < OLDEST_NODE:
        found = f"{node} is {answer.stdout.strip() or 'unusable'}"
        raise NotStarted(_NO_NODE.format(oldest=OLDEST_NODE, found=found))
    return Path(node)


def install(environ: Mapping[str, str], manifests: Path = MANIFESTS, installations: Path = INSTALLATIONS) -> Path:
    """The folder of the installed packages, `node_modules`. Again is quick; whoever comes second waits for the first.

    Raises NotStarted where there is no usable Node.js or npm fails.
    """
    key = hashlib.sha256(b"".join((manifests / name).read_bytes() for name in ("package.json", "package-lock.json")))
    home = installations / key.hexdigest()[:16]
    packages = home / "node_modules"
    if packages.is_dir():
        return packages
    find_node(environ)
    installations.mkdir(parents=True, exist_ok=True)
    with _alone(installations / "lock"):
        if not packages.is_dir():
            _install(home, manifests, environ)
    return packages


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One process at a time. The kernel lets go of the lock however its holder ends."""
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another run that installs the Auth emulator …", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _install(home: Path, manifests: Path, environ: Mapping[str, str]) -> None:
    # Whole or not at all: what a killed run left is under the other name, and goes here.
    unfinished = home.with_name(f"{home.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(manifests / name, unfinished / name)
    print("Installing the Auth emulator with npm into .local (once, some 420 MB, about a minute) …", flush=True)
    npm = shutil.which("npm", path=environ["PATH"]) or "npm"
    # Neither package needs an install script of its dependencies, and what does not run cannot do harm.
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--no-progress"]
    child = Child([npm, "ci", *quiet], unfinished / "npm.log", environ, unfinished)
    try:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while child.exit_status is None and time.monotonic() < deadline:
            time.sleep(0.1)
        status = child.exit_status
    finally:
        child.stop()
    if status != 0:
        ended = f"did not end within {TIMEOUT_SECONDS} s" if status is None else f"ended with status {status}"
        tail = "\n".join(child.output().splitlines()[-20:])
        raise NotStarted(f"npm ci {ended}. The end of {child.log}:\n{tail or '(empty)'}")
    # A folder without packages is of no use to anybody who finds it.
    (unfinished / "node_modules").mkdir(exist_ok=True)
    unfinished.rename(home)


def web_sdk(environ: Mapping[str, str]) -> Path:
    """The folder of Firebase's web SDK with `firebase-app.js`, `firebase-auth.js`, `firebase-firestore.js`.

    They import each other from https://www.gstatic.com/firebasejs/{version}/, so a page without the internet needs
    those requests answered from here. The version is package.json's. Installs like `install`, with the same errors.
    """
    return install(environ) / "firebase"
