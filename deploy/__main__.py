"""`python -m deploy plan` prints the deployment, `python -m deploy apply` does it, `event-types` is what Stripe sends.

The only part that reads the environment and files and starts programs.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from deploy.apply import Ran, StepFailed, apply
from deploy.plan import plan
from deploy.script import command_line, script
from deploy.steps import Target
from functions.errors import SettingsError
from functions.event_types import ONLY_THIN
from functions.settings.accounts import identity_settings
from functions.settings.pricing import pricing_settings
from functions.settings.subscriber import subscriber_settings
from functions.topology import EVENT_TYPES, FUNCTIONS, chosen

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Plan or apply; the exit status. Settings of the functions are taken from `environ` where they are set there."""
    parser = argparse.ArgumentParser(prog="python -m deploy", description=__doc__)
    parser.add_argument("action", choices=("plan", "apply", "event-types"))
    parser.add_argument("--project", help="the Google Cloud project, which exists and has billing")
    parser.add_argument("--region", help="such as asia-northeast1")
    options = parser.parse_args(arguments)
    if options.action == "event-types":
        print(*sorted(EVENT_TYPES - ONLY_THIN), sep="\n")
        return 0
    if not options.project or not options.region:
        parser.error(f"{options.action} needs --project and --region")

    names = sorted({name for row in FUNCTIONS for name in row.variables})
    variables = {name: value for name in names if (value := environ.get(name, "").strip())}
    database = json.loads((ROOT / "firebase.json").read_text())["firestore"]["database"]
    if variables.get("FIRESTORE_DATABASE", "(default)") != database:
        parser.error(f"FIRESTORE_DATABASE and the database in firebase.json ({database}) have to be the same")
    target = Target(project=options.project, region=options.region, database=database, variables=variables)
    wrong = _what_is_wrong(target)
    if options.action == "plan":
        print(script(plan(target), target, wrong), end="")
        return 0
    if wrong:
        parser.error(f"the functions would not start: {wrong}")
    return _apply(target, runner(environ))


def _what_is_wrong(target: Target) -> str:
    """What the functions themselves would say of these settings, ten minutes later. Empty when all is well.

    Asked of those that are told the most. Secrets are nothing a deployment knows: theirs is a stand-in.
    """
    # Of the same mode as the key of the pricing page, which is not secret.
    mode = "live" if target.variables.get("STRIPE_PUBLISHABLE_KEY", "").startswith("pk_live_") else "test"
    stand_ins = {"STRIPE_API_KEY": f"sk_{mode}_none", "IDENTITY_TOKEN": "x" * 32}
    environ = {"GOOGLE_CLOUD_PROJECT": target.project, **stand_ins, **target.variables}
    try:
        subscriber_settings(environ)
        identity_settings(environ)
        if target.variables.get("PRICING_TABLE_ID"):
            pricing_settings(environ)
    except SettingsError as problem:
        return str(problem)
    return ""


def runner(environ: Mapping[str, str]) -> Callable[[Sequence[str]], Ran]:
    """What runs a command at the root of the repository, without anybody there to answer its questions."""
    environment = {**environ, "CLOUDSDK_CORE_DISABLE_PROMPTS": "1"}

    def run(command: Sequence[str]) -> Ran:
        try:
            ran = subprocess.run(
                command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
        except FileNotFoundError:
            return Ran(succeeded=False, error=f"{command[0]}: not found on the PATH")
        return Ran(ran.returncode == 0, ran.stdout, ran.stderr)

    return run


def _apply(target: Target, run: Callable[[Sequence[str]], Ran]) -> int:
    def say(text: str) -> None:
        print(text, flush=True)

    say(f"Deploying to {target.project} in {target.region}. Settings: {dict(target.variables) or 'all by default'}.")
    describe = ("gcloud", "projects", "describe", target.project, "--format=value(projectNumber)")
    number = run(describe)
    if not number.succeeded:
        print(f"{command_line(describe)}\n{number.error.strip()}", file=sys.stderr)
        return 1
    try:
        apply(plan(replace(target, project_number=number.output.strip())), run, say)
    except StepFailed as failure:
        print(f"\n{failure}\n\nStopped. Run it again once that is mended.", file=sys.stderr)
        return 1
    for row in chosen(target.variables):
        if row.public:
            say(f"{row.name} answers at {target.function_url(row)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
