"""`make up`: the whole system on this machine, staying up until Ctrl-C."""

import os
import shlex
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import FrameType

from dotenv import dotenv_values
from rich.console import Console
from rich.table import Table

from functions.adapters.clock import SystemClock
from functions.topology import CLOCKED
from local.carrier import Carrier, parse_smtp
from local.emulators import VARIABLES
from local.processes import NotStarted, ServerError
from local.scheduler import Scheduler
from local.system import ROOT, System, running

LOCAL = ROOT / ".local"


def settings() -> dict[str, str]:
    """The environment, with `.env` filling in what it does not say."""
    return {**{key: value for key, value in dotenv_values(ROOT / ".env").items() if value}, **os.environ}


def main() -> int:
    """Start, say where everything is, wait. Returns the exit code."""
    console = Console(highlight=False)
    # SIGTERM winds everything down as Ctrl-C does, and both do in a script's background, where a shell ignores SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        console.print("Starting the emulators and every function …")
        env = LOCAL / "env"
        # A run that was killed leaves it behind, and whoever waits for it must not take the old one.
        env.unlink(missing_ok=True)
        environ = settings()
        smtp = _smtp(environ)
        logs = LOCAL / "logs" / "up"
        with running(environ, log_directory=logs, project=_project(environ), accounts=True) as system:
            clock = Scheduler(system.tick, {row.name: row.schedule for row in CLOCKED}, SystemClock())
            with clock, _carrier(system, smtp):
                _write(env, system.environment)
                _tell(console, system, env, smtp)
                try:
                    _wait_for_a_failure(system)
                finally:
                    env.unlink(missing_ok=True)
    except KeyboardInterrupt:
        console.print("Stopped, and everything that was started with it.")
        return 0
    except NotStarted as problem:
        console.print(f"[bold red]Not running.[/] {problem}", soft_wrap=True)
        return 1
    return 0


def _project(environ: Mapping[str, str]) -> str:
    """The project of emulators that run already (`firebase emulators:exec` names it), else one of our own."""
    preset = any(environ.get(variable) for variable in VARIABLES.values())
    named = environ.get("GOOGLE_CLOUD_PROJECT") or environ.get("GCLOUD_PROJECT")
    return named if preset and named else "demo-local"


def _smtp(environ: Mapping[str, str]) -> tuple[str, int] | None:
    """The SMTP server of LOCAL_SMTP. Raises NotStarted, before anything is started."""
    text = environ.get("LOCAL_SMTP", "").strip()
    try:
        return parse_smtp(text) if text else None
    except ValueError as problem:
        raise NotStarted(f"LOCAL_SMTP: {problem}") from problem


def _carrier(system: System, smtp: tuple[str, int] | None) -> AbstractContextManager[object]:
    """What delivers the mails; nothing where they have nowhere to go."""
    if smtp is None:
        return nullcontext()
    # What the extension is configured with, for mails that name no sender.
    name = system.environment["BRAND_NAME"].replace('"', "")
    sender = f'"{name}" <{system.environment["SUPPORT_EMAIL"]}>'
    return Carrier(system.firestore(), _mails(system), smtp, sender, SystemClock())


def _mails(system: System) -> str:
    return system.environment.get("MAIL_COLLECTION", "mail")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _write(env: Path, environment: Mapping[str, str]) -> None:
    """One KEY=VALUE a line, whole or not at all: other programs wait for this file."""
    part = env.with_suffix(".part")
    part.touch(mode=0o600)
    part.write_text("".join(f"{key}={shlex.quote(value)}\n" for key, value in environment.items()))
    part.replace(env)


def _tell(console: Console, system: System, env: Path, smtp: tuple[str, int] | None) -> None:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row("Webhook", f"[bold]{system.webhook_url}[/]")
    table.add_row("Firestore", system.emulators.firestore_host)
    table.add_row("Pub/Sub", system.emulators.pubsub_host)
    if system.auth:
        table.add_row("Accounts", system.auth.host)
    table.add_row("Pricing page", system.environment["PRICING_PAGE_URL"])
    table.add_row("Stripe API", system.stripe_api.url if system.stripe_api else "api.stripe.com, with your test key")
    kept = f"the collection {_mails(system)}; LOCAL_SMTP=host:port delivers them"
    table.add_row("Mails", f"delivered to {smtp[0]}:{smtp[1]}" if smtp else kept)
    table.add_row("For programs", f"{env.relative_to(ROOT)}  (set -a; . {env.relative_to(ROOT)})")
    table.add_row("Logs", f"{system.functions.child.log.parent.relative_to(ROOT)}/")
    console.print("[bold green]Everything is up.[/] Ctrl-C stops it.\n", table, "", sep="\n")
    if not system.stripe_api:
        console.print(f"Real test events: stripe listen --forward-to {system.webhook_url}\n")


def _wait_for_a_failure(system: System) -> None:
    """Returns never, but for an interrupt or the end of the functions."""
    while True:
        time.sleep(1)
        for server in (system.functions, *system.emulators.servers, *(system.auth.servers if system.auth else ())):
            if server.child.exit_status is not None:
                raise ServerError(f"{server.name} ended by itself; {server.child.log} says why.")


if __name__ == "__main__":
    sys.exit(main())
