"""What is deployed is the topology, in words that gcloud takes, as often as one likes."""

import ast
import json
import re
import shlex
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pytest
from google.cloud.firestore import Client
from google.cloud.firestore_v1.types import StructuredQuery
from google.cloud.pubsub_v1 import SubscriberClient

from deploy.__main__ import main, runner
from deploy.apply import Ran, StepFailed, apply
from deploy.functions import deployed
from deploy.plan import plan
from deploy.steps import Step, Target, pairs
from functions.adapters.diary import FirestoreDiary
from functions.adapters.erasing import FirestoreTraces
from functions.adapters.mailbox import FirestoreMailbox
from functions.adapters.parked import FirestoreParkedEvents
from functions.event_types import ONLY_THIN
from functions.message_filter import MAX_FILTER_BYTES
from functions.reminders.rules import SCHEDULES, fields
from functions.settings.reader import signing_keys
from functions.topology import (
    CLOCK_TOPIC,
    CLOCKED,
    DEAD_LETTER_TOPIC,
    DEAD_LETTERED,
    EVENT_TYPES,
    FUNCTIONS,
    TOPIC,
    Function,
    chosen,
    function,
)
from local.emulators import Emulators

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests/golden/deploy_plan.txt"
PLAN = ("plan", "--project", "demo", "--region", "asia-northeast1")
TARGET = Target(project="demo", region="asia-northeast1", project_number="123456789012")
VARIABLES = sorted({name for row in FUNCTIONS for name in row.variables})
#: What has no default.
REQUIRED = {"BRAND_NAME": "Demo Shop", "SUPPORT_EMAIL": "support@example.com"}
#: What is deployed where no setting asks for more.
CHOSEN = chosen({})
SUBSCRIBERS = [row for row in FUNCTIONS if row.trigger == "events"]
PUSHED = [*SUBSCRIBERS, *CLOCKED]
#: What people open in a browser.
PAGES = [row for row in CHOSEN if row.trigger == "http" and row.name != "stripe_webhook"]
#: Where offers are refused, as long as nobody says otherwise.
UNSUBSCRIBE_URL = "https://asia-northeast1-demo.cloudfunctions.net/unsubscribe"
#: In the order of the plan.
DEPLOYED = [
    *(*PAGES, *DEAD_LETTERED),
    *(row for row in CHOSEN if row.trigger in {"events", "clock"}),
    function("stripe_webhook"),
]

needs_gcloud = pytest.mark.skipif(not shutil.which("gcloud"), reason="gcloud is not on the PATH")


def commands_of(steps: Sequence[Step]) -> Iterator[tuple[str, ...]]:
    for step in steps:
        if step.unless:
            yield step.unless
        yield step.command


def by_default(row: Function) -> str:
    """The variables of a function where nothing is set."""
    link = f",UNSUBSCRIBE_URL={UNSUBSCRIBE_URL}" if "UNSUBSCRIBE_URL" in row.variables else ""
    return f"GOOGLE_CLOUD_PROJECT=demo,THREADS={row.concurrency}{link}"


def starting(*words: str) -> list[dict[str, str]]:
    """The flags of the plan's commands that start with these words; what follows the words is under ''."""
    found = []
    for command in commands_of(plan(TARGET)):
        if command[: len(words)] == words:
            flags = dict(word.partition("=")[::2] for word in command[len(words) :] if word.startswith("--"))
            found.append(flags | {"": next((w for w in command[len(words) :] if not w.startswith("--")), "")})
    return found


class TestPlan:
    def test_is_the_one_people_have_read(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(PLAN, {}) == 0
        assert capsys.readouterr().out == GOLDEN.read_text(), (
            "The deployment changes. If it should: "
            f"python -m deploy {shlex.join(PLAN)} > {GOLDEN.relative_to(ROOT)}, and read what the difference is."
        )

    def test_is_a_script(self) -> None:
        subprocess.run(["bash", "-n", GOLDEN], check=True)
        lines = GOLDEN.read_text().replace("\\\n", "").replace("||\n", "").splitlines()
        kinds = Counter(line.split(" ")[0] for line in lines if line and not line.startswith("#"))
        assert kinds.keys() == {"gcloud", "npx", "test", 'PROJECT_NUMBER="$(gcloud'}

    def test_deploys_every_function_once(self) -> None:
        commands = starting("gcloud", "functions", "deploy")
        assert Counter(flags[""] for flags in commands) == Counter(row.name for row in CHOSEN)
        for flags in commands:
            row = function(flags[""])
            assert flags["--entry-point"] == row.name
            assert (flags["--memory"], flags["--cpu"]) == (row.memory, row.cpu)
            assert flags["--concurrency"] == str(row.concurrency)
            assert flags["--set-env-vars"] == by_default(row)
            assert flags.get("--set-secrets", "") == ",".join(f"{name}={name}:latest" for name in row.secrets)
            assert ("--clear-secrets" in flags) is (not row.secrets)

    def test_lets_everybody_in_only_where_the_row_says_so(self) -> None:
        for flags in starting("gcloud", "functions", "deploy"):
            assert ("--allow-unauthenticated" in flags) is function(flags[""]).public
            assert ("--no-allow-unauthenticated" in flags) is not function(flags[""]).public
        assert "allUsers" not in GOLDEN.read_text()

    def test_says_where_everybody_is_let_in(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(PLAN, {}) == 0
        assert re.findall(r"^# (\w+) answers at (\S+)$", capsys.readouterr().out, re.MULTILINE) == [
            (row.name, f"https://asia-northeast1-demo.cloudfunctions.net/{row.name}") for row in CHOSEN if row.public
        ]

    def test_has_every_secret_before_it_begins_and_says_how_to_come_by_it(self) -> None:
        commands = [step.command[1:] for step in plan(TARGET)]
        first = next(i for i, command in enumerate(commands) if "create" in command)
        hints = {}
        for number, step in enumerate(plan(TARGET)):
            if step.command[:3] == ("gcloud", "secrets", "versions"):
                assert number < first
                hints[step.command[5].removeprefix("--secret=")] = step.hint
        assert hints.keys() == {secret for row in CHOSEN for secret in row.secrets}
        keys = hints.pop("UNSUBSCRIBE_KEYS")
        assert keys == "openssl rand -base64 48 | gcloud secrets create UNSUBSCRIBE_KEYS --data-file=- --project=demo"
        for secret, hint in hints.items():
            assert hint == f'printf %s "${secret}" | gcloud secrets create {secret} --data-file=- --project=demo'

    @pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not on the PATH")
    def test_hints_at_keys_that_the_functions_take(self) -> None:
        (hint,) = [step.hint for step in plan(TARGET) if step.hint.startswith("openssl")]
        made = subprocess.run(shlex.split(hint.partition(" | ")[0]), capture_output=True, text=True, check=True).stdout
        assert len(signing_keys(made.strip())) == 1

    @pytest.mark.parametrize("row", PUSHED, ids=lambda row: row.name)
    def test_subscribes_to_what_the_row_handles(self, row: Function) -> None:
        (made,) = [flags for flags in starting("gcloud", "pubsub", "subscriptions", "create") if flags[""] == row.name]
        url = f"https://asia-northeast1-demo.cloudfunctions.net/{row.name}"
        assert made == {
            "": row.name,
            "--topic": CLOCK_TOPIC if row.schedule else TOPIC,
            "--message-filter": row.filter,
            "--push-endpoint": f"{url}/projects/demo/topics/{CLOCK_TOPIC if row.schedule else TOPIC}",
            "--push-auth-token-audience": url,
            "--push-auth-service-account": "stripe-events-push@demo.iam.gserviceaccount.com",
            "--ack-deadline": str(row.timeout_seconds),
            "--min-retry-delay": f"{row.min_backoff_seconds}s",
            "--max-retry-delay": f"{row.max_backoff_seconds}s",
            "--dead-letter-topic": DEAD_LETTER_TOPIC,
            "--max-delivery-attempts": str(row.delivery_attempts),
            "--expiration-period": "never",
            "--project": "demo",
            # A tick is of no use once there are later ones.
            **({"--message-retention-duration": "10m"} if row.schedule else {}),
        }
        assert len(row.filter.encode()) <= MAX_FILTER_BYTES
        (again,) = [flags for flags in starting("gcloud", "pubsub", "subscriptions", "update") if flags[""] == row.name]
        assert again.items() <= made.items()
        assert made.keys() - again.keys() == {"--topic", "--message-filter", "--expiration-period"}
        assert row.filter in [step.prints for step in plan(TARGET)]

    @pytest.mark.parametrize("row", CLOCKED, ids=lambda row: row.name)
    def test_has_a_clock_for_each_row_that_one_calls(self, row: Function) -> None:
        (made,) = [f for f in starting("gcloud", "scheduler", "jobs", "create", "pubsub") if f[""] == row.name]
        (again,) = [f for f in starting("gcloud", "scheduler", "jobs", "update", "pubsub") if f[""] == row.name]
        assert made.pop("--attributes") == again.pop("--update-attributes") == f"function={row.name}"
        assert made == again
        assert made == {
            "": row.name,
            "--location": "asia-northeast1",
            "--schedule": row.schedule,
            "--time-zone": "Etc/UTC",
            "--topic": f"projects/demo/topics/{CLOCK_TOPIC}",
            "--message-body": "tick",
            "--project": "demo",
        }
        assert row.filter == f'attributes.function = "{row.name}"'

    def test_starts_no_clock_for_a_row_that_events_call(self) -> None:
        assert {f[""] for f in starting("gcloud", "scheduler", "jobs", "create", "pubsub")} == {r.name for r in CLOCKED}

    def test_has_dead_letters_parked_and_keeps_them_for_as_long_as_pubsub_can(self) -> None:
        made = [f for f in starting("gcloud", "pubsub", "subscriptions", "create") if f["--topic"] == DEAD_LETTER_TOPIC]
        (row,) = DEAD_LETTERED
        url = f"https://asia-northeast1-demo.cloudfunctions.net/{row.name}"
        assert made == [
            {
                "": row.name,
                "--topic": DEAD_LETTER_TOPIC,
                "--push-endpoint": f"{url}/projects/demo/topics/{DEAD_LETTER_TOPIC}",
                "--push-auth-token-audience": url,
                "--push-auth-service-account": "stripe-events-push@demo.iam.gserviceaccount.com",
                "--ack-deadline": str(row.timeout_seconds),
                "--min-retry-delay": f"{row.min_backoff_seconds}s",
                "--max-retry-delay": f"{row.max_backoff_seconds}s",
                "--message-retention-duration": "31d",
                "--expiration-period": "never",
                "--project": "demo",
            }
        ]

    def test_takes_dead_letters_before_anything_can_make_some(self) -> None:
        names = [f[""] for f in starting("gcloud", "pubsub", "subscriptions", "create")]
        assert names == [*(row.name for row in DEAD_LETTERED), *(row.name for row in PUSHED)]

    def test_has_every_subscription_before_anybody_publishes(self) -> None:
        commands = [step.command for step in plan(TARGET)]
        last = max(i for i, command in enumerate(commands) if command[1:4] == ("pubsub", "subscriptions", "create"))
        assert commands.index(deployed(TARGET, function("stripe_webhook")).command) > last
        clocks = [i for i, command in enumerate(commands) if command[1:3] == ("scheduler", "jobs")]
        assert len(clocks) == len(CLOCKED)
        assert min(clocks) > last

    def test_has_every_page_before_anybody_links_to_it(self) -> None:
        assert [flags[""] for flags in starting("gcloud", "functions", "deploy")] == [row.name for row in DEPLOYED]
        names = [row.name for row in DEPLOYED]
        linking = [row.name for row in FUNCTIONS if "UNSUBSCRIBE_URL" in row.variables]
        assert set(linking) == {"record_orders", "send_due_reminders"}
        for name in linking:
            assert names.index("unsubscribe") < names.index(name)

    def test_gives_each_account_the_least(self) -> None:
        granted = set()
        for command in commands_of(plan(TARGET)):
            if "add-iam-policy-binding" in command or "add-invoker-policy-binding" in command:
                verb = next(i for i, word in enumerate(command) if word.endswith("-policy-binding"))
                flags = dict(word.partition("=")[::2] for word in command[verb:])
                account = flags["--member"].removeprefix("serviceAccount:").split("@")[0]
                granted.add((account, flags.get("--role", "invoker").removeprefix("roles/"), command[verb + 1]))
        agent = "service-123456789012"
        push = "stripe-events-push@demo.iam.gserviceaccount.com"
        assert granted == {
            ("stripe-webhook", "pubsub.publisher", TOPIC),
            ("stripe-webhook", "secretmanager.secretAccessor", "STRIPE_WEBHOOK_SECRETS"),
            ("functions-build", "artifactregistry.writer", "demo"),
            ("functions-build", "logging.logWriter", "demo"),
            ("functions-build", "storage.objectViewer", "demo"),
            (agent, "iam.serviceAccountTokenCreator", push),
            (agent, "pubsub.publisher", DEAD_LETTER_TOPIC),
            # Cloud Scheduler's own identity has the same number, and another domain.
            (agent, "pubsub.publisher", CLOCK_TOPIC),
            # They ask for their own next run.
            ("send-due-reminders", "pubsub.publisher", CLOCK_TOPIC),
            ("reconcile", "pubsub.publisher", CLOCK_TOPIC),
            # It publishes what Stripe could not deliver.
            ("reconcile", "pubsub.publisher", TOPIC),
            ("find-customer", "datastore.user", "demo"),
            ("find-customer", "secretmanager.secretAccessor", "STRIPE_API_KEY"),
            ("unsubscribe", "datastore.user", "demo"),
            ("dead-letters", "datastore.user", "demo"),
            ("stripe-events-push", "invoker", "dead_letters"),
            ("unsubscribe", "secretmanager.secretAccessor", "UNSUBSCRIBE_KEYS"),
        } | {
            granted_to_a_subscriber
            for row in PUSHED
            for granted_to_a_subscriber in (
                (row.name.replace("_", "-"), "datastore.user", "demo"),
                *((row.name.replace("_", "-"), "secretmanager.secretAccessor", secret) for secret in row.secrets),
                ("stripe-events-push", "invoker", row.name),
                (agent, "pubsub.subscriber", row.name),
            )
        }
        assert {row.name: row.secrets for row in PUSHED} == {
            "index_customers": ("STRIPE_API_KEY",),
            "record_orders": ("STRIPE_API_KEY", "UNSUBSCRIBE_KEYS"),
            "track_subscriptions": ("STRIPE_API_KEY",),
            "provision_accounts": ("STRIPE_API_KEY",),
            "send_due_reminders": ("STRIPE_API_KEY", "UNSUBSCRIBE_KEYS"),
            "sweep_mail": (),
            "reconcile": ("STRIPE_API_KEY",),
        }

    def test_gives_who_asks_for_accounts_what_that_takes(self) -> None:
        """https://firebase.google.com/docs/projects/iam/roles-predefined-product#auth."""
        assert "firebaseauth" not in GOLDEN.read_text()
        target = replace(TARGET, variables={"ACCOUNTS": "create", "PRICING_TABLE_ID": "prctbl_1"})
        roles = [" ".join(command) for command in commands_of(plan(target)) if "firebaseauth" in " ".join(command)]
        assert [re.findall(r"serviceAccount:([a-z-]+)@.*(firebaseauth\.\w+)", role) for role in roles] == [
            [("provision-accounts", "firebaseauth.admin")],
            [("pricing-page", "firebaseauth.viewer")],
        ]
        telling = replace(TARGET, variables={"CLAIMS": "on", "PRICING_TABLE_ID": "prctbl_1"})
        lines = [" ".join(command) for command in commands_of(plan(telling))]
        assert [
            re.findall(r"serviceAccount:([a-z-]+)@", line)[0] for line in lines if "firebaseauth.admin" in line
        ] == [
            *("provision-accounts", "find-customer", "pricing-page"),
        ]

    def test_has_the_token_of_another_provider_only_where_there_is_one(self) -> None:
        assert "IDENTITY_TOKEN" not in GOLDEN.read_text()
        target = replace(TARGET, variables={"IDENTITY": "http", "IDENTITY_URL": "https://accounts.example"})
        told = [step.command[3] for step in plan(target) if "IDENTITY_TOKEN" in " ".join(step.command[4:])]
        assert "provision_accounts" in told
        assert "index_customers" not in told

    def test_leaves_out_the_pricing_page_where_there_is_no_table(self) -> None:
        assert "pricing_page" not in GOLDEN.read_text()
        target = replace(TARGET, variables={"PRICING_TABLE_ID": "prctbl_1"})
        assert any(step.command[:4] == ("gcloud", "functions", "deploy", "pricing_page") for step in plan(target))

    def test_lets_cloud_scheduler_publish_ticks_and_who_continues_and_nobody_else(self) -> None:
        granted = [f for f in starting("gcloud", "pubsub", "topics", "add-iam-policy-binding") if f[""] == CLOCK_TOPIC]
        assert {flags["--member"] for flags in granted} == {
            "serviceAccount:service-123456789012@gcp-sa-cloudscheduler.iam.gserviceaccount.com",
            *(f"serviceAccount:{TARGET.account(row.name)}" for row in FUNCTIONS if row.continues),
        }

    @pytest.mark.parametrize("trigger", ["http", "events", "clock"])
    def test_lets_a_new_function_publish_no_events(self, trigger: Literal["http", "events", "clock"]) -> None:
        row = Function(name="newcomer", trigger=trigger, event_types=("charge.failed",), schedule="* * * * *")
        granted = [step.command for step in plan(TARGET, [*FUNCTIONS, row]) if "add-iam-policy-binding" in step.command]
        assert [
            command[-2] for command in granted if f"--member=serviceAccount:{TARGET.account(row.name)}" in command
        ] == ["--role=roles/datastore.user"]

    def test_names_accounts_as_google_allows(self) -> None:
        for flags in starting("gcloud", "iam", "service-accounts", "create"):
            assert re.fullmatch(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", flags[""])


class TestEventTypes:
    def test_are_what_a_snapshot_endpoint_of_stripes_can_send(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["event-types"], {}) == 0
        printed = capsys.readouterr().out.split()
        assert {"customer.created", "invoice.paid", "payment_method.detached"} <= set(printed)
        assert set(printed) == EVENT_TYPES - ONLY_THIN


class TestSettings:
    def test_of_the_environment_go_to_the_functions_that_read_them(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(PLAN, {"STRIPE_LIVEMODE": "true", "USER_ID_KEY": " ", "STRIPE_API_KEY": "sk_test_1"}) == 0
        out = capsys.readouterr().out
        assert re.findall(r"--set-env-vars=(\S+)", out) == [
            by_default(row) + (",STRIPE_LIVEMODE=true" if row.publishes else "") for row in DEPLOYED
        ]
        assert "sk_test_1" not in out

    def test_of_mail_go_to_every_function_that_writes_some(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(PLAN, REQUIRED | {"MAIL_FOOTER": "Shop K.K. | Tokyo, Japan", "MAIL_DISABLED": "welcome"}) == 0
        settings = re.findall(r"--set-env-vars=(.*) \\", capsys.readouterr().out)
        assert len(settings) == len(DEPLOYED)
        *others, webhook = settings
        told = [text for row, text in zip(DEPLOYED, others, strict=False) if "BRAND_NAME" in row.variables]
        assert [text for text in others if text not in told] == ["GOOGLE_CLOUD_PROJECT=demo,THREADS=1"]
        for text in told:
            (words,) = shlex.split(text)
            assert words.startswith("^@@^")
            assert (
                dict(pair.split("=", 1) for pair in words.removeprefix("^@@^").split("@@")).items()
                >= {
                    **REQUIRED,
                    "MAIL_FOOTER": "Shop K.K. | Tokyo, Japan",
                    "MAIL_DISABLED": "welcome",
                }.items()
            )
        assert webhook == "GOOGLE_CLOUD_PROJECT=demo,THREADS=8"

    def test_of_a_page_with_a_domain_of_its_own_go_to_who_links_to_it(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(PLAN, REQUIRED | {"UNSUBSCRIBE_URL": "https://shop.example/stop"}) == 0
        out = capsys.readouterr().out
        linking = [row for row in FUNCTIONS if "UNSUBSCRIBE_URL" in row.variables]
        assert out.count("UNSUBSCRIBE_URL=https://shop.example/stop") == len(linking)
        assert f"UNSUBSCRIBE_URL={UNSUBSCRIBE_URL}" not in out

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("UNSUBSCRIBE_URL", "shop.example/stop"),
            ("OFFERS", "always"),
            ("OFFER_PAUSE_DAYS", "a month"),
            ("UPGRADE_OFFER_AFTER_DAYS", "-1"),
            ("MARKETING_KEY", "marketing[mail]"),
            ("USER_ID_KEY", "user[id]"),
            ("PAST_DUE_GIVES_ACCESS", "perhaps"),
        ],
    )
    def test_that_a_function_would_refuse_stop_a_deployment(
        self, name: str, text: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit):
            main(("apply", *PLAN[1:]), REQUIRED | {name: text, "PATH": "/nowhere"})
        assert f"the functions would not start: {name} " in capsys.readouterr().err

    def test_that_are_missing_or_wrong_are_said_above_the_plan(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(PLAN, {"BRAND_NAME": "Demo Shop", "SUPPORT_EMAIL": " ", "LOCALE": "xx"}) == 0
        head = capsys.readouterr().out.partition("\n\n")[0].splitlines()
        assert all(line.startswith("#") for line in head[:-1])
        (said,) = [line for line in head if "would not start" in line]
        assert "SUPPORT_EMAIL is not set; LOCALE is 'xx'" in said
        assert "BRAND_NAME" not in said
        assert main(PLAN, REQUIRED) == 0
        assert "would not start" not in capsys.readouterr().out

    @pytest.mark.parametrize("missing", sorted(REQUIRED))
    def test_that_are_missing_stop_a_deployment_before_it_begins(
        self, missing: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        environ = {name: value for name, value in REQUIRED.items() if name != missing}
        with pytest.raises(SystemExit) as ended:
            main(("apply", *PLAN[1:]), environ | {"PATH": "/nowhere"})
        assert ended.value.code == 2
        said = capsys.readouterr()
        assert f"the functions would not start: {missing} is not set. See the settings table in README.md." in said.err
        assert said.out == ""

    def test_of_another_database_need_its_rules_too(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            main(PLAN, {"FIRESTORE_DATABASE": "eu"})
        assert "firebase.json" in capsys.readouterr().err

    def test_reach_gcloud_whatever_they_contain(self) -> None:
        assert pairs({"A": "1", "B": "2"}) == "A=1,B=2"
        assert pairs({"A": "1,5", "B": "2"}) == "^|^A=1,5|B=2"
        assert pairs({"A": "1,5", "B": "2|3"}) == "^@@^A=1,5@@B=2|3"
        with pytest.raises(ValueError, match="A"):
            pairs({"A": ",|@@"})

    def test_are_all_passed_on_by_cloud_build(self) -> None:
        text = (ROOT / "cloudbuild.yaml").read_text()
        assert re.findall(r"- (\w+)=\$_(\w+)", text) == [(name, name) for name in VARIABLES]
        assert re.findall(r"^  _(\w+):", text, re.MULTILINE) == ["REGION", *VARIABLES]


class Cloud:
    """A project in memory: `unless` of a step succeeds once its command ran."""

    def __init__(self, steps: Sequence[Step], broken: Sequence[str] = ()) -> None:
        self.ran: list[Sequence[str]] = []
        self._makes = {step.unless: step.command for step in steps if step.unless}
        self._prints = {step.command: step.prints for step in steps if step.prints}
        self._broken = broken

    def run(self, command: Sequence[str]) -> Ran:
        if command == self._broken:
            return Ran(succeeded=False, error="ERROR: PERMISSION_DENIED")
        makes = self._makes.get(tuple(command))
        if makes and makes not in self.ran:
            return Ran(succeeded=False, error="ERROR: NOT_FOUND")
        self.ran.append(command)
        return Ran(succeeded=True, output=f"{self._prints.get(tuple(command), 'done')}\n")


class TestApply:
    steps = plan(TARGET)

    def test_makes_everything_once_and_then_finds_it_there(self) -> None:
        cloud = Cloud(self.steps)
        said: list[str] = []
        apply(self.steps, cloud.run, said.append)
        assert cloud.ran == [step.command for step in self.steps]
        assert said[0] == f"[1/{len(self.steps)}] Enable the APIs."
        apply(self.steps, cloud.run, said.append)
        assert cloud.ran[len(self.steps) :] == [step.unless or step.command for step in self.steps]

    @pytest.mark.parametrize("number", [1, 9, -1])
    def test_stops_at_the_first_failure_and_says_which(self, number: int) -> None:
        broken = self.steps[number]
        cloud = Cloud(self.steps, broken.command)
        with pytest.raises(StepFailed) as failure:
            apply(self.steps, cloud.run, lambda _: None)
        assert cloud.ran == [step.command for step in self.steps[:number]]
        assert shlex.join(broken.command[:4]) in str(failure.value)
        assert "PERMISSION_DENIED" in str(failure.value)
        assert broken.hint in str(failure.value)

    def test_says_what_a_missing_program_is(self) -> None:
        ran = runner({"PATH": "/nowhere"})(["gcloud-of-nobody", "version"])
        assert not ran.succeeded
        assert "gcloud-of-nobody: not found" in ran.error


@needs_gcloud
class TestGcloud:
    def test_takes_every_command(self, tmp_path: Path) -> None:
        target = replace(TARGET, variables=dict.fromkeys(VARIABLES, "1,2"))
        commands = [shlex.join(command) for command in commands_of(plan(target)) if command[0] == "gcloud"]
        hints = [line for step in plan(target) for line in step.hint.splitlines()]
        commands += [found[0] for line in hints if (found := re.search(r"gcloud \w+ .*", line))]
        verdicts = lint([*commands, "gcloud pubsub topics create stripe-events --retention=7d"], tmp_path)
        assert len(verdicts) == len(set(commands)) + 1 > 40
        refused = verdicts.pop()
        assert "unrecognized arguments: --retention=7d" in refused["error_message"]
        assert not [(v["command_string"], v["error_message"]) for v in verdicts if not v["success"]]

    def test_uploads_what_the_functions_run_and_nothing_else(self) -> None:
        command = ["gcloud", "meta", "list-files-for-upload", str(ROOT)]
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        files = [path.relative_to(ROOT) for path in ROOT.glob("functions/**/*") if path.is_file()]
        sources = {str(path) for path in files if "__pycache__" not in path.parts}
        assert set(listed) == sources | {"main.py", "requirements.txt"}

    def test_brings_pubsub_to_the_planned_state_as_often_as_one_likes(
        self, emulators: Emulators, project: str, tmp_path: Path
    ) -> None:
        run = runner_against(emulators, tmp_path)
        row = function("record_orders")
        steps = pubsub_steps(project, row)
        apply(steps, run, print)
        apply(steps, run, print)
        for clock in CLOCKED:
            apply(pubsub_steps(project, clock), run, print)
        with SubscriberClient() as subscriber:
            path = subscriber.subscription_path(project, row.name)
            made = subscriber.get_subscription(request={"subscription": path})
            path = subscriber.subscription_path(project, "sweep_mail")
            clocked = subscriber.get_subscription(request={"subscription": path})
        assert made.filter == row.filter
        assert made.topic == f"projects/{project}/topics/{TOPIC}"
        assert made.ack_deadline_seconds == row.timeout_seconds
        assert made.retry_policy.minimum_backoff.total_seconds() == row.min_backoff_seconds
        assert made.retry_policy.maximum_backoff.total_seconds() == row.max_backoff_seconds
        assert made.dead_letter_policy.dead_letter_topic == f"projects/{project}/topics/{DEAD_LETTER_TOPIC}"
        assert made.dead_letter_policy.max_delivery_attempts == row.delivery_attempts
        assert made.push_config.push_endpoint.endswith(f"/{row.name}/projects/{project}/topics/{TOPIC}")
        assert made.push_config.oidc_token.audience.endswith(f"cloudfunctions.net/{row.name}")
        assert not made.expiration_policy.ttl
        assert clocked.topic == f"projects/{project}/topics/{CLOCK_TOPIC}"
        assert clocked.filter == 'attributes.function = "sweep_mail"'
        assert clocked.message_retention_duration.total_seconds() == 600

        changed = pubsub_steps(project, replace(row, event_types=("charge.refunded",)))
        with pytest.raises(StepFailed, match="gcloud pubsub subscriptions delete record_orders"):
            apply(changed[-1:], run, print)


def lint(commands: Sequence[str], directory: Path) -> list[dict[str, Any]]:
    """What gcloud's own parser says of each command, without a network."""
    file = directory / "commands.json"
    file.write_text(json.dumps([{"command_string": command} for command in commands]))
    command = ["gcloud", "meta", "lint-gcloud-commands", f"--commands-file={file}"]
    verdicts: list[dict[str, Any]] = json.loads(
        subprocess.run(command, capture_output=True, text=True, check=True).stdout
    )
    return verdicts


def pubsub_steps(project: str, row: Function) -> list[Step]:
    """The topics and the subscription. The emulator knows no roles, and nothing that is kept for more than 7 days."""
    steps = [step for step in plan(replace(TARGET, project=project), [row]) if step.command[1] == "pubsub"]
    unknown = {"add-iam-policy-binding", "--message-retention-duration=31d"}
    return [step for step in steps if not unknown & set(step.command)]


def runner_against(emulators: Emulators, directory: Path) -> Callable[[Sequence[str]], Ran]:
    environ: Mapping[str, str] = {
        "PATH": str(Path(shutil.which("gcloud") or "").parent) + ":/usr/bin:/bin",
        "HOME": str(directory),
        "CLOUDSDK_CONFIG": str(directory / "gcloud"),
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_PUBSUB": f"http://{emulators.pubsub_host}/",
        "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
    }
    return runner(environ)


def queries(client: Client) -> list[Any]:
    """Every query of the functions; none is sent."""
    mailbox, now = FirestoreMailbox(client, "mail"), datetime(2026, 11, 24, tzinfo=UTC)
    diary = FirestoreDiary(client)
    due = [diary._query(collection, now.timestamp()) for collection in SCHEDULES]
    parked = FirestoreParkedEvents(client)
    traces = FirestoreTraces(client, "mail")
    found_by = [
        *(("customers", "user_id", "in"), ("payments", "invoice", "in"), ("deliveries", "customer", "in")),
        *(("mail", field, "in") for field in ("customer", "to", "cc", "bcc", "replyTo")),
        *(("mail", field, "array_contains_any") for field in ("to", "cc", "bcc")),
    ]
    erased = [traces._query(collection, field, op, ["x"]) for collection, field, op in found_by]
    asked = [mailbox._failed(now), mailbox._overdue(now, now), parked._between(0, 1), parked._of_event("evt_1")]
    return [*asked, *due, *erased]


Operator, Direction = StructuredQuery.FieldFilter.Operator, StructuredQuery.Direction
#: A collection, whether wherever it is or in one place, and the fields in the order in which they are sorted.
Index = tuple[str, str, tuple[str, ...]]


def index_of(query: Any) -> Index:
    """What a query needs: the fields that have to equal something, and then those it is ordered by.

    The id of the document, by which every index is sorted last, is in none of them.
    """
    asked = query._to_protobuf()._pb
    (source,) = asked.from_
    where = asked.where
    filters = where.composite_filter.filters if where.HasField("composite_filter") else [where]
    compared = {(each.field_filter.field.field_path, each.field_filter.op) for each in filters}
    equal = {field for field, op in compared if op in {Operator.EQUAL, Operator.IN, Operator.ARRAY_CONTAINS_ANY}}
    assert all(each.direction == Direction.ASCENDING for each in asked.order_by)
    ordered = tuple(each.field.field_path for each in asked.order_by if each.field.field_path != "__name__")
    assert {field for field, _ in compared} == equal | set(ordered)
    scope = "COLLECTION_GROUP" if source.all_descendants else "COLLECTION"
    return source.collection_id, scope, (*sorted(equal), *ordered)


def indexes_made() -> set[Index]:
    """What firestore.indexes.json makes beyond Firestore's own of single fields, which are for single collections."""
    file = json.loads((ROOT / "firestore.indexes.json").read_text())
    made: set[Index] = set()
    for index in file["indexes"]:
        assert {field["order"] for field in index["fields"]} == {"ASCENDING"}
        fields = tuple(field["fieldPath"] for field in index["fields"])
        made.add((index["collectionGroup"], index["queryScope"], fields))
    for entry in file["fieldOverrides"]:
        made |= {(entry["collectionGroup"], index["queryScope"], (entry["fieldPath"],)) for index in entry["indexes"]}
    return made


class TestFirestoreFiles:
    def test_are_the_ones_firebase_deploys(self) -> None:
        configuration = json.loads((ROOT / "firebase.json").read_text())["firestore"]
        assert configuration == {
            "database": "(default)",
            "rules": "firestore.rules",
            "indexes": "firestore.indexes.json",
        }
        assert (ROOT / configuration["rules"]).is_file()

    def test_leave_what_nobody_asks_for_out_of_the_indexes(self) -> None:
        """https://firebase.google.com/docs/reference/firestore/indexes."""
        indexes = json.loads((ROOT / "firestore.indexes.json").read_text())
        assert indexes.keys() == {"indexes", "fieldOverrides"}
        fields = [(entry["collectionGroup"], entry["fieldPath"]) for entry in indexes["fieldOverrides"]]
        assert len(set(fields)) == len(fields)
        for entry in indexes["fieldOverrides"]:
            assert entry["indexes"] in ([], [{"queryScope": "COLLECTION_GROUP", "order": "ASCENDING"}])
            assert entry.keys() - {"ttl"} == {"collectionGroup", "fieldPath", "indexes"}
        unindexed = {
            field for field, entry in zip(fields, indexes["fieldOverrides"], strict=True) if not entry["indexes"]
        }
        # Maps and long texts, each part of which would have two entries of its own, at every write.
        assert unindexed >= {(collection, "reminders") for collection in SCHEDULES}
        assert unindexed >= {("customers", "marketing"), ("prices", "prices")}

    def test_have_an_index_for_every_query_and_none_that_nobody_asks(self, firestore_client: Client) -> None:
        """Only the real Firestore asks for them: in the emulator everything is found."""
        needed = {index_of(query) for query in queries(firestore_client)}
        # Single fields of one collection have an index by themselves, where nobody has taken it away.
        by_themselves = {index for index in needed if index[1] == "COLLECTION" and len(index[2]) == 1}
        assert needed - by_themselves == indexes_made()
        overridden = {
            (entry["collectionGroup"], entry["fieldPath"])
            for entry in json.loads((ROOT / "firestore.indexes.json").read_text())["fieldOverrides"]
        }
        assert not overridden & {(collection, fields[0]) for collection, _, fields in by_themselves}

    def test_are_held_against_every_query_there_is(self) -> None:
        """Whoever writes another query adds it to `queries`."""
        asking = {"where", "order_by", "collection_group", "find_nearest"}
        found = set()
        for path in (ROOT / "functions").rglob("*.py"):
            for each in ast.walk(ast.parse(path.read_text())):
                if isinstance(each, ast.FunctionDef):
                    calls = {node.attr for node in ast.walk(each) if isinstance(node, ast.Attribute)}
                    found |= {(path.name, each.name)} if calls & asking else set()
        assert found == {
            *(("erasing.py", "_query"), ("diary.py", "_query"), ("mailbox.py", "_failed"), ("mailbox.py", "_overdue")),
            *(("parked.py", "_between"), ("parked.py", "_of_event")),
            # By the document's name alone, for which there is always an index.
            ("walk.py", "_all"),
        }

    def test_ask_for_the_field_that_reminders_are_stored_under(self) -> None:
        stored = fields({"renewal": 1_800_000_000})
        assert stored == {"reminders": {"renewal": 1_800_000_000}, "next_reminder_at": 1_800_000_000}
        for collection in SCHEDULES:
            assert (collection, "COLLECTION_GROUP", ("next_reminder_at",)) in indexes_made()

    def test_have_mails_removed_when_their_time_is_over(self) -> None:
        """https://cloud.google.com/firestore/docs/ttl: the outbox sets the field, and this makes something of it."""
        overrides = json.loads((ROOT / "firestore.indexes.json").read_text())["fieldOverrides"]
        expiring = [(entry["collectionGroup"], entry["fieldPath"]) for entry in overrides if entry.get("ttl")]
        assert sorted(expiring) == [(each, "expires_at") for each in ("customer_index", "mail", "parked_events")]
