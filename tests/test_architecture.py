"""The design, held against the code: imports point one way, and every row of the topology is complete."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from deploy.plan import plan
from deploy.steps import Target
from functions import event_types, settings, topology

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(path for path in (ROOT / "functions").rglob("*.py"))
ROWS = topology.FUNCTIONS

#: Who may import whom inside `functions`: a room only those above it in this list.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "clock": set(),
    "incoming": set(),
    "message": {"errors"},
    "log": set(),
    "message_filter": set(),
    "event_types": set(),
    "variables": set(),
    "topology": {"event_types", "message_filter", "variables"},
    "paths": set(),
    "letters": set(),
    "linking": set(),
    "identity": set(),
    "effects": {"identity", "letters"},
    "store": {"effects"},
    "stripe_events": {"errors"},
    "as_of": {"effects", "errors", "stripe_events"},
    "customer_index": {"paths", "effects"},
    "marketing": {"paths", "stripe_events"},
    "mail": {"clock", "effects", "errors", "letters", "log", "marketing", "paths", "stripe_events"},
    "forgotten": {"effects", "paths"},
    "execution": {"clock", "effects", "errors", "forgotten", "identity", "mail", "store", "stripe_events"},
    "ownership": {"customer_index", "effects", "letters", "linking", "mail", "paths"},
    "welcome": {"effects", "letters", "mail"},
    "accounts": {
        *("clock", "effects", "errors", "execution", "identity", "linking", "log", "mail", "ownership", "paths"),
        *("store", "stripe_events"),
    },
    "reminders": {"clock", "effects", "errors", "letters", "log", "mail", "marketing", "paths", "store"},
    "pages": {
        *("accounts", "clock", "effects", "errors", "identity", "incoming", "log", "mail", "marketing", "paths"),
        "store",
    },
    "settings": {"accounts", "errors", "mail", "marketing", "pages", "paths", "reminders"},
    "parking": {
        *("clock", "effects", "errors", "letters", "log", "mail", "message", "paths", "store", "stripe_events"),
    },
    "reactions": {
        *("accounts", "as_of", "customer_index", "effects", "errors", "identity", "letters", "linking", "mail"),
        *("marketing", "ownership", "paths", "reminders", "settings", "stripe_events", "welcome"),
    },
    "webhook": {"clock", "errors", "incoming", "log", "settings", "stripe_events", "topology"},
    "reconcile": {
        *("clock", "effects", "errors", "log", "paths", "store", "stripe_events", "topology", "webhook"),
    },
    "subscriber": {
        *("clock", "effects", "errors", "execution", "identity", "log", "mail", "message", "parking", "settings"),
        *("store", "stripe_events", "topology"),
    },
    "dead_letters": {
        *("clock", "effects", "errors", "log", "mail", "message", "parking", "store", "stripe_events", "topology"),
    },
    "adapters": {
        *("accounts", "clock", "effects", "errors", "identity", "letters", "mail", "pages", "parking", "paths"),
        *("reminders", "store", "stripe_events", "webhook"),
    },
}
#: What wires the parts for somebody else, as `main.py` does for the functions.
ALLOWED["wiring"] = set(ALLOWED)
ALLOWED["operations"] = set(ALLOWED)
EDGES = {"adapters", "wiring", "operations"}
#: What only adapters may import, because it talks, and what nobody may read away from the edge.
TALKS = {"google", "grpc", "requests", "httpx", "flask", "functions_framework", "socket", "urllib.request", "os"}
TELLS_TIME = {"time"}


def name_of(path: Path) -> str:
    """The room of `functions` a file belongs to."""
    return path.relative_to(ROOT / "functions").parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            module = node.module or ""
            found |= {f"functions.{alias.name}" for alias in node.names} if module == "functions" else {module}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    room = name_of(path)
    if room == "__init__":
        assert not imports_of(path)
        return
    rooms = {each.split(".")[1] for each in imports_of(path) if each.startswith("functions.")}
    assert rooms - {room} <= ALLOWED[room]


def test_no_room_imports_itself_by_way_of_others() -> None:
    # Raises CycleError with the rooms in a circle.
    TopologicalSorter(ALLOWED).prepare()
    above: set[str] = set()
    for room, imported in ALLOWED.items():
        assert imported <= above, f"{room} stands before {', '.join(sorted(imported - above))}"
        above.add(room)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_adapters_talk_and_tell_the_time(path: Path) -> None:
    if name_of(path) in EDGES:
        return
    tops = {each.split(".")[0] for each in imports_of(path)} | imports_of(path)
    assert not tops & (TALKS | TELLS_TIME)
    # The webhook verifies with Stripe's library, which needs no network for it.
    assert name_of(path) == "webhook" or "stripe" not in tops
    assert not re.search(r"datetime\.(now|utcnow|today)\(", path.read_text("utf-8"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_says_what_it_is_for_and_is_not_two(path: Path) -> None:
    text = path.read_text("utf-8")
    assert ast.get_docstring(ast.parse(text)), "its first line says why it exists"
    assert len(text.splitlines()) <= 270


def test_the_parts_under_everything_import_no_google_and_no_flask() -> None:
    """Deciding is pure even through what it imports indirectly."""
    deciding = ("reactions.record_orders", "reactions.track_subscriptions", "reminders.sender", "pages.unsubscribe")
    code = f"import sys, {', '.join(f'functions.{each}' for each in deciding)}; print(*sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert not {"google.cloud.firestore", "google.api_core", "flask", "stripe", "requests", "grpc"} & set(
        output.split()
    )


def entry_points() -> dict[str, str]:
    """Function name -> decorator, from main.py."""
    found = {}
    for node in ast.parse((ROOT / "main.py").read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.decorator_list:
            decorator = node.decorator_list[0]
            if isinstance(decorator, ast.Attribute) and decorator.attr in {"http", "cloud_event"}:
                found[node.name] = decorator.attr
    return found


def test_every_row_has_an_entry_point_of_its_trigger_and_no_entry_point_is_without_a_row() -> None:
    decorators = {"http": "http", "events": "cloud_event", "clock": "cloud_event", "dead_letters": "cloud_event"}
    assert entry_points() == {row.name: decorators[row.trigger] for row in ROWS}


@pytest.mark.parametrize("row", [row for row in ROWS if row.trigger == "events"], ids=lambda row: row.name)
def test_every_row_that_reacts_has_its_reaction_and_its_tests(row: topology.Function) -> None:
    reaction = ROOT / "functions" / "reactions" / row.name
    assert reaction.with_suffix(".py").is_file() or (reaction / "__init__.py").is_file()
    assert (ROOT / "tests" / f"test_{row.name}.py").is_file()
    assert row.event_types


@pytest.mark.parametrize("row", [row for row in ROWS if row.trigger == "clock"], ids=lambda row: row.name)
def test_every_row_that_a_clock_calls_has_its_schedule_and_its_tests(row: topology.Function) -> None:
    assert (ROOT / "tests" / f"test_{row.name}.py").is_file()
    assert row.schedule


def test_what_takes_dead_letters_is_one_row_with_its_tests() -> None:
    [row] = [row for row in ROWS if row.trigger == "dead_letters"]
    assert (ROOT / "tests" / f"test_{row.name}.py").is_file()
    assert {row.event_types, row.schedule, row.filter} == {(), ""}


@pytest.mark.parametrize("row", [row for row in ROWS if row.trigger == "http"], ids=lambda row: row.name)
def test_every_row_that_is_called_over_http_has_its_tests(row: topology.Function) -> None:
    # There is one webhook, and so its tests need not say whose it is.
    assert (ROOT / "tests" / f"test_{row.name.removeprefix('stripe_')}.py").is_file()
    assert not row.event_types
    assert not row.schedule


def test_every_reaction_has_a_row() -> None:
    files = {path.stem for path in (ROOT / "functions" / "reactions").glob("[a-z]*")}
    assert files == {row.name for row in ROWS if row.trigger == "events"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_is_deployed_and_its_filter_with_it(row: topology.Function) -> None:
    target = Target(project="demo", region="asia-northeast1", variables={row.only_with: "set"} if row.only_with else {})
    commands = [" ".join(step.command) for step in plan(target)]
    assert sum(f"functions deploy {row.name} " in command for command in commands) == 1
    if row.trigger != "http":
        [subscription] = [command for command in commands if f"subscriptions create {row.name} " in command]
        assert row.filter in subscription
    assert sum(f"jobs create pubsub {row.name} " in command for command in commands) == (row.trigger == "clock")


def test_every_handled_type_is_told_in_the_stories_whose_costs_are_counted() -> None:
    from tests.test_costs import STORIES, told_by

    told = {event["type"] for story in STORIES for event in told_by(story).events}
    assert topology.EVENT_TYPES - told == event_types.ONLY_THIN | {"customer.source.expiring"}


def settings_read() -> set[str]:
    """Every variable the code asks the environment for."""
    files = Path(settings.__file__).parent.glob("*.py")
    return {name for file in files for name in re.findall(r'read\("([A-Z_]+)"', file.read_text("utf-8"))}


def test_the_topology_names_every_variable_and_secret_that_is_read() -> None:
    named = {name for row in ROWS for name in (*row.variables, *row.secrets, *row.secrets_if)}
    # The project is set by the deployment itself.
    assert named | {"GOOGLE_CLOUD_PROJECT"} == settings_read()


@pytest.mark.parametrize("readme", ["README.md", "README.ja.md"])
def test_the_readme_lists_every_setting_and_no_other(readme: str) -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / readme).read_text("utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(settings_read())


def test_the_example_of_env_lists_every_setting_and_no_other() -> None:
    lines = re.findall(r"^#? ?([A-Z_]+)=", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE)
    assert sorted(lines) == sorted(settings_read() - {"GOOGLE_CLOUD_PROJECT"})


@pytest.mark.parametrize("readme", ["README.md", "README.ja.md"])
def test_what_the_readme_links_to_is_there(readme: str) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / readme).read_text("utf-8"))
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def test_nothing_is_patched_or_mocked() -> None:
    forbidden = re.compile(r"unittest\.mo" + r"ck|monkeypatch\.setat" + r"tr|mocker\.")
    for path in [*ROOT.glob("tests/**/*.py"), *ROOT.glob("functions/**/*.py"), *ROOT.glob("local/**/*.py")]:
        assert not forbidden.search(path.read_text("utf-8")), path
