"""What a plan is made of: a target, steps, and how gcloud's arguments are said."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from functions.accounts.settings import AccountSettings
from functions.settings.accounts import account_settings
from functions.settings.reader import Reader
from functions.topology import Function


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where to deploy to, and with which settings."""

    project: str
    region: str
    #: Pub/Sub's own identity is named by it. The default is for the shell to fill in.
    project_number: str = "$PROJECT_NUMBER"
    database: str = "(default)"
    #: Settings that differ from their default; each function is given those that its row names.
    variables: Mapping[str, str] = field(default_factory=dict)

    def account(self, name: str) -> str:
        """The address of a service account of this project."""
        return f"{name.replace('_', '-')}@{self.project}.iam.gserviceaccount.com"

    def function_url(self, row: Function) -> str:
        """Where a function is reached: Cloud Run functions have this address besides the one of their service."""
        return f"https://{self.region}-{self.project}.cloudfunctions.net/{row.name}"

    @property
    def accounts(self) -> AccountSettings:
        """Who keeps the accounts of people, and what is done with them."""
        return account_settings(Reader(self.variables))

    @property
    def pubsub_agent(self) -> str:
        """The identity with which Pub/Sub itself acts in this project."""
        return f"service-{self.project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"

    @property
    def scheduler_agent(self) -> str:
        """The identity with which Cloud Scheduler itself acts in this project."""
        return f"service-{self.project_number}@gcp-sa-cloudscheduler.iam.gserviceaccount.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command and what it is for."""

    purpose: str
    command: tuple[str, ...]
    #: Tried first. Where it succeeds, what `command` would make is there, and as it should be.
    unless: tuple[str, ...] | None = None
    #: What the command has to print; None for anything.
    prints: str | None = None
    #: What to do where the step fails.
    hint: str = ""


def gcloud(target: Target, *arguments: str) -> tuple[str, ...]:
    """A command of gcloud in the target's project."""
    return ("gcloud", *arguments, f"--project={target.project}")


def role_on(target: Target, *resource: str, account: str, role: str, purpose: str) -> Step:
    """A role on one resource, said as gcloud does: its group, its name. Granting what is granted already succeeds."""
    *group, name = resource
    member = (f"--member=serviceAccount:{account}", f"--role=roles/{role}")
    return Step(purpose=purpose, command=gcloud(target, *group, "add-iam-policy-binding", name, *member))


def role_on_project(target: Target, *, account: str, role: str, purpose: str) -> Step:
    """A role on the whole project, where there is nothing smaller to have it on."""
    member = (f"--member=serviceAccount:{account}", f"--role=roles/{role}")
    # Without a condition, said out loud: where the project's policy has conditions, gcloud would ask.
    command = ("gcloud", "projects", "add-iam-policy-binding", target.project, *member, "--condition=None")
    return Step(purpose=purpose, command=command)


def pairs(values: Mapping[str, str]) -> str:
    """gcloud's `A=1,B=2`, and where a value has a comma itself, another delimiter (`gcloud topic escaping`)."""
    texts = [f"{name}={value}" for name, value in values.items()]
    for delimiter, prefix in ((",", ""), ("|", "^|^"), ("@@", "^@@^")):
        if not any(delimiter in text for text in texts):
            return prefix + delimiter.join(texts)
    raise ValueError(f"gcloud has no way to pass the values of {', '.join(values)} at once")
