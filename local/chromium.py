"""A Chromium for what people look at: the machine's own, else Debian's package, else the one an npm package carries."""

import fcntl
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from local.processes import NotStarted

Lookup = Callable[[Mapping[str, str]], Iterable[Path]]
"""From the environment to browsers that may be there, best first. One that installs does so when it is asked."""

# fontconfig has the fc-list that finds the fonts next time; most machines with a browser have it already.
JAPANESE_FONT = ("fonts-noto-cjk", "fontconfig")
LOCAL = Path(__file__).resolve().parent.parent / ".local"
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_APT_LOCK_SECONDS = 120
_SPARTICUZ = "@sparticuz/chromium@153.0.0"


# Looking.


def _which(name: str, environ: Mapping[str, str]) -> Path | None:
    found = shutil.which(name, path=environ.get("PATH", ""))
    return Path(found) if found else None


def on_the_path(environ: Mapping[str, str]) -> Iterator[Path]:
    """Under the names that distributions give it."""
    for name in _NAMES:
        if found := _which(name, environ):
            yield found


def in_applications(environ: Mapping[str, str]) -> Iterator[Path]:
    """Where macOS keeps it, which is on nobody's PATH."""
    for folder in (Path("/Applications"), Path(environ.get("HOME", "/"), "Applications")):
        for name in ("Chromium", "Google Chrome"):
            yield folder / f"{name}.app/Contents/MacOS/{name}"


def in_playwrights_cache(environ: Mapping[str, str]) -> Iterator[Path]:
    """What `playwright install chromium` has downloaded, the newest revision first."""
    home = Path(environ.get("HOME", "/"))
    caches = [Path(environ.get("XDG_CACHE_HOME") or home / ".cache", "ms-playwright")]
    caches.append(home / "Library/Caches/ms-playwright")
    if elsewhere := environ.get("PLAYWRIGHT_BROWSERS_PATH"):
        caches = [Path(elsewhere)]
    for cache in caches:
        revisions = [path for path in cache.glob("chromium*-*") if path.name.rpartition("-")[2].isdigit()]
        for revision in sorted(revisions, key=lambda path: int(path.name.rpartition("-")[2]), reverse=True):
            yield from revision.glob("chrome-linux*/chrome")
            yield from revision.glob("chrome-mac*/*.app/Contents/MacOS/*")
            yield from revision.glob("chrome-headless-shell-*/chrome-headless-shell")


def runs(browser: Path) -> bool:
    """Whether it says its version. Ubuntu's `chromium-browser`, for one, may only say that a snap is missing."""
    try:
        answer = subprocess.run([browser, "--version"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0 and bool(answer.stdout.strip())


# Installing.


@contextmanager
def _alone(apt_get: Path) -> Iterator[None]:
    """One of our processes at a time: a lock on a file that all of them see and apt itself never locks."""
    with apt_get.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def debian_install(packages: Sequence[str], environ: Mapping[str, str], user_id: int | None = None) -> bool:
    """Installs these where there is an apt-get and we are root, or may become it without a password.

    Returns whether they are installed now; what went wrong is printed. `user_id` is this process's own unless given.
    """
    apt_get, sudo = _which("apt-get", environ), _which("sudo", environ)
    as_root: tuple[str | Path, ...] = ()
    if (os.geteuid() if user_id is None else user_id) != 0:
        as_root = (sudo, "-n") if sudo else ("false",)
    if not apt_get or (as_root and subprocess.run([*as_root, "true"], capture_output=True, check=False).returncode):
        return False
    print(f"Installing Debian's {' and '.join(packages)} …", flush=True)
    # Through `env`, because sudo passes nothing on. The C locale is for recognizing what apt says about locks.
    apt: list[str | Path] = [*as_root, "env", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", apt_get, "-qq"]
    apt += ["-o", f"DPkg::Lock::Timeout={_APT_LOCK_SECONDS}"]

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command: list[str | Path] = [*apt, *arguments]
        return subprocess.run(
            command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )

    with _alone(apt_get):
        deadline = time.monotonic() + _APT_LOCK_SECONDS
        # The option above makes `install` wait for somebody else's apt; `update` gives up at once all the same.
        while "Could not get lock" in (update := run("update")).stderr and time.monotonic() < deadline:
            time.sleep(0.5)
        # Whatever else `update` complains about: the lists that the machine has may do.
        install = run("install", "--yes", "--no-install-recommends", *packages)
    if install.returncode:
        print(f"apt-get could not:\n{update.stderr}{install.stderr}", flush=True)
    return install.returncode == 0


def from_debian(environ: Mapping[str, str]) -> Iterator[Path]:
    """Debian's package. The font comes along, because one `apt-get update` is slow enough."""
    if debian_install(("chromium", *JAPANESE_FONT), environ):
        yield from on_the_path(environ)


def from_npm(environ: Mapping[str, str]) -> Iterator[Path]:
    """The headless Chromium that an npm package carries for Lambda, unpacked under .local: for Linux without root.

    It needs Node, and libnss3 and libexpat1 on the machine.
    """
    home = LOCAL / f"chromium-{_SPARTICUZ.rpartition('@')[2]}"  # its own: the browser makes folders beside itself
    browser = home / "chromium"
    npm, node = _which("npm", environ), _which("node", environ)
    here = (platform.system(), platform.machine())
    if not browser.exists() and npm and node and here == ("Linux", "x86_64"):
        print(f"Fetching the npm package {_SPARTICUZ}, which carries a Chromium …", flush=True)
        home.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=home) as directory:
            try:
                _unpack(npm, node, Path(directory), environ).replace(browser)
            except (subprocess.CalledProcessError, OSError, KeyError, tarfile.TarError) as error:
                print(f"It did not work: {error}", flush=True)
    yield browser


def _unpack(npm: Path, node: Path, directory: Path, environ: Mapping[str, str]) -> Path:
    """Only the browser is taken out of the package: none of its code runs, and none of its dependencies are needed."""
    pack: list[str | Path] = [npm, "pack", "--loglevel=error", f"--pack-destination={directory}", _SPARTICUZ]
    subprocess.run(pack, env=environ, cwd=directory, stdout=subprocess.DEVNULL, check=True)
    [package] = directory.glob("*.tgz")
    with tarfile.open(package) as archive, (directory / "chromium.br").open("wb") as packed:
        content = archive.extractfile("package/bin/chromium.br")
        assert content is not None  # noqa: S101 -- for the type checker: it is a file
        shutil.copyfileobj(content, packed)
    # Python has no Brotli, and Node has.
    inflate = "process.stdin.pipe(require('zlib').createBrotliDecompress()).pipe(process.stdout)"
    browser = directory / "chromium"
    with (directory / "chromium.br").open("rb") as packed, browser.open("wb") as unpacked:
        subprocess.run([node, "-e", inflate], env=environ, stdin=packed, stdout=unpacked, check=True)
    browser.chmod(0o755)
    return browser


# Both.

LOOKUPS: tuple[Lookup, ...] = (on_the_path, in_applications, in_playwrights_cache, from_debian, from_npm)


def find_chromium(environ: Mapping[str, str], lookups: Iterable[Lookup] = LOOKUPS) -> Path:
    """The browser that CHROMIUM names, else the first that runs of what the lookups come up with."""
    if named := environ.get("CHROMIUM"):
        browser = _which(named, environ)
        if not browser or not runs(browser):
            raise NotStarted(f"CHROMIUM={named}, but that is no browser that runs.")
        return browser
    for lookup in lookups:
        for browser in lookup(environ):
            if runs(browser):
                return browser
    raise NotStarted(
        "No Chromium or Chrome that runs on this machine, and none could be installed: install one (on Debian: "
        f"`apt-get install chromium fonts-noto-cjk`, elsewhere: `{sys.executable} -m playwright install chromium`), "
        "or name one in CHROMIUM."
    )


def japanese_font(
    environ: Mapping[str, str], install: Callable[[Sequence[str], Mapping[str, str]], bool] = debian_install
) -> bool:
    """Whether fontconfig knows a Japanese font, after an attempt to install one where it does not."""
    fc_list = _which("fc-list", environ)
    fonts = subprocess.run([fc_list, ":lang=ja", "family"], capture_output=True, check=False).stdout if fc_list else b""
    return bool(fonts.strip()) or install(JAPANESE_FONT, environ)


def executable() -> Path:
    """A Chromium or Chrome that runs on this machine, installed where need be. Raises NotStarted, saying what to do."""
    browser = find_chromium(os.environ)
    # Without a font, text is boxes, and layout can still be looked at; macOS has fonts and no fontconfig.
    japanese_font(os.environ)
    return browser
