"""The runbooks, held against gcloud's own parser and against this repository: what they say to type can be typed."""

import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from functions.reconcile.window import window_since
from functions.topology import DEAD_LETTER_TOPIC, FUNCTIONS, TOPIC
from tests.test_deploy import lint

ROOT = Path(__file__).resolve().parent.parent
RUNBOOKS = sorted((ROOT / "docs" / "runbooks").glob("*.md"))
EACH = pytest.mark.parametrize("runbook", RUNBOOKS, ids=lambda path: path.name)
#: What is written in the log beside `severity` and `message`, as far as a runbook asks for it.
FIELDS = {"function", "outcome", "event_id", "type", "status", "reason", "milliseconds"}
_DAY_OF_THE_EXAMPLES = datetime(2026, 11, 24, tzinfo=UTC).timestamp()
PLACEHOLDERS = {"PROJECT": "my-project", "REGION": "asia-northeast1", "BUCKET": "my-bucket"}


def commands(runbook: Path) -> list[str]:
    """Every line to type, and every command within it."""
    blocks = re.findall(r"^( *)```\n(.*?)^\1```$", runbook.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`(python -m \S+[^`]*)`", runbook.read_text("utf-8"))
    return [line.strip() for _, block in blocks for line in block.splitlines()] + inline


def gcloud(runbook: Path) -> list[str]:
    """The commands of gcloud, with a name for every placeholder."""
    found = [each for line in commands(runbook) for each in re.findall(r"(?:^|\$\(|\| )(gcloud .*?)(?:\)$|$)", line)]
    return [re.sub(r"\b(PROJECT|REGION|BUCKET)\b", lambda name: PLACEHOLDERS[name[0]], each) for each in found]


def python(runbook: Path) -> list[list[str]]:
    """The commands of this repository: a module and its arguments."""
    return [shlex.split(line)[2:] for line in commands(runbook) if line.startswith("python -m ")]


def test_the_index_leads_to_every_runbook() -> None:
    index = (ROOT / "docs" / "runbooks" / "README.md").read_text("utf-8")
    linked = set(re.findall(r"\]\(([a-z-]+\.md)\)", index))
    assert linked == {path.name for path in RUNBOOKS} - {"README.md"}
    assert len(RUNBOOKS) == 8


@EACH
def test_what_a_runbook_links_to_is_there(runbook: Path) -> None:
    text = runbook.read_text("utf-8")
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (runbook.parent / link).exists(), link
    for path in re.findall(r"`((?:tests|functions|docs)/[a-z_/]+(?:\.py|\.md)?)`", text):
        assert (ROOT / path).exists(), path


@EACH
def test_a_runbook_says_how_long_it_takes_and_how_to_see_that_it_worked(runbook: Path) -> None:
    text = runbook.read_text("utf-8")
    assert runbook.name == "README.md" or ("It worked" in text and re.search(r"[Tt]akes? ", text))
    assert max(map(len, (line for line in text.splitlines() if "gcloud " not in line and "|" not in line))) <= 140


@EACH
def test_every_line_to_type_is_of_a_kind_that_is_checked(runbook: Path) -> None:
    for line in commands(runbook):
        assert re.match(r"(gcloud|python -m|read -rs NEW$|printf %s .* \| gcloud|(OLD|NEW)=\$\()", line), line


def test_gcloud_knows_every_command(tmp_path: Path) -> None:
    found = sorted({command for runbook in RUNBOOKS for command in gcloud(runbook)})
    verdicts = lint([*found, "gcloud pubsub topics describe stripe-events --nothing"], tmp_path)
    assert len(verdicts) == len(found) + 1 > 25
    assert "unrecognized arguments: --nothing" in verdicts.pop()["error_message"]
    assert not [(each["command_string"], each["error_message"]) for each in verdicts if not each["success"]]


@cache
def _help(module: str) -> str:
    ran = subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=True, cwd=ROOT)
    return ran.stdout


@EACH
def test_every_command_of_ours_exists_with_its_options(runbook: Path) -> None:
    for module, *arguments in python(runbook):
        assert find_spec(module), f"python -m {module}"
        for option in (each.partition("=")[0] for each in arguments if each.startswith("--")):
            assert re.search(rf"(?<![\w-]){option}(?![\w-])", _help(module)), f"{module} {option}"
        if module.endswith("reconcile") and "--since" in arguments:
            # Raises where it is no time that the command takes.
            window_since(arguments[arguments.index("--since") + 1], _DAY_OF_THE_EXAMPLES)


@EACH
def test_what_is_asked_of_the_log_is_written_there(runbook: Path) -> None:
    text = runbook.read_text("utf-8")
    assert set(re.findall(r"jsonPayload\.(\w+)", text)) <= FIELDS
    code = "".join(path.read_text("utf-8") for path in (ROOT / "functions").rglob("*.py"))
    for name in re.findall(r"jsonPayload\.(\w+)", text):
        assert f"{name}=" in code
    outcomes = re.findall(r'jsonPayload\.outcome=\(?((?:"\w+"(?: OR )?)+)', text)
    for outcome in (each for group in outcomes for each in re.findall(r'"(\w+)"', group)):
        assert f'"{outcome}"' in code
    for reason in re.findall(r'jsonPayload\.reason="([^"]+)"', text):
        assert reason in code


def test_the_names_of_what_is_deployed_are_real() -> None:
    functions, services = {row.name for row in FUNCTIONS}, {row.name.replace("_", "-") for row in FUNCTIONS}
    for command in (each for runbook in RUNBOOKS for each in gcloud(runbook)):
        words = shlex.split(command)
        match words[1:5]:
            case ["pubsub", "topics", _, topic]:
                assert topic in {TOPIC, DEAD_LETTER_TOPIC}
            case ["pubsub", "subscriptions", _, name] | ["scheduler", "jobs", _, name]:
                assert name in functions
            case ["functions", "describe", name, _]:
                assert name in functions
            case ["run", "services", _, name]:
                assert name in services
        for name in re.findall(r'service(?:_name)?="?(\S+?)"?(?: |$)', command):
            assert name in services
        for name in re.findall(r'jsonPayload\.function="(\w+)"', command):
            assert name in functions


def test_what_the_tables_quote_is_what_is_said() -> None:
    code = "".join(path.read_text("utf-8") for path in (ROOT / "functions").rglob("*.py"))
    said = {
        "webhook-failing.md": ("no signature matches", "not published: ", "s away from now"),
        "parked-events.md": (
            "still failing after ",
            "Stripe has nothing at ",
            "Firestore does not take what this event says",
        ),
        "forget-a-person.md": ("forgotten_at",),
    }
    for name, texts in said.items():
        runbook = (ROOT / "docs" / "runbooks" / name).read_text("utf-8")
        for text in texts:
            assert text.strip() in runbook
            assert text in code
