"""`python -m functions.operations.audit`: is what is stored what Stripe has? And with --repair: make it so.

It reads Stripe's customers, subscriptions and paid Checkout Sessions within the rate budget, and names each document
that is missing, stale or extra with the names of the fields that differ, never with what stands in them. What follows
from our own documents alone (the index from addresses and users) is compared where its customer differs.
"""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict

from functions.accounts.budget import Budget
from functions.adapters.clock import SystemClock
from functions.adapters.stripe import StripeApi
from functions.errors import Permanent, Retry, SettingsError
from functions.operations.audit_compare import Difference
from functions.operations.auditing import Audit, Report, Told
from functions.operations.backfill import subscribers
from functions.operations.budgeted import Budgeted
from functions.operations.environment import environment
from functions.operations.showing import has_rich
from functions.settings.accounts import identity_settings
from functions.settings.subscriber import subscriber_settings

#: How many of the differences are shown one by one; --json has all of them.
_SHOWN = 50


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """0: no difference, or none that a repair has left. 1: differences. 2: could not be found out."""
    chosen = _parser().parse_args(arguments)
    try:
        report = _run(chosen, environ)
    except (Retry, Permanent, SettingsError) as problem:
        sys.stderr.write(f"Broken off: {problem}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        return 2
    if chosen.json:
        sys.stdout.write(json.dumps(as_json(report), indent=2) + "\n")
    else:
        sys.stdout.write("\n".join(as_lines(report)) + "\n")
    return 0 if report.is_right else 1


def as_json(report: Report) -> dict[str, object]:
    """The report for other programs."""
    return {
        "looked_at": dict(report.looked_at),
        "differences": [asdict(each) for each in report.differences],
        "remaining": None if report.remaining is None else [asdict(each) for each in report.remaining],
        "unreadable": [{"list": name, "id": found, "reason": reason} for name, found, reason in report.unreadable],
    }


def as_lines(report: Report) -> list[str]:
    """The report for a person."""
    lines = [f"looked at {count} {name}" for name, count in report.looked_at.items()]
    lines += _told(report.differences) or ["no difference"]
    if report.remaining is not None:
        lines += ["after the repair:", *(_told(report.remaining) or ["no difference"])]
    return lines + [f"not readable: {name} {found}: {reason}" for name, found, reason in report.unreadable]


def _told(differences: Sequence[Difference]) -> list[str]:
    counts = Counter((each.kind, each.list) for each in differences)
    lines = [f"{kind}: {count} of {name}" for (kind, name), count in counts.most_common()]
    for each in differences[:_SHOWN]:
        fields = f" ({', '.join(each.fields)})" if each.fields else ""
        lines.append(f"  {each.kind}  {each.list} {each.id}  {each.document}{fields}")
    hidden = len(differences) - _SHOWN
    return lines + ([f"  and {hidden} more: see --json"] if hidden > 0 else [])


def _run(chosen: argparse.Namespace, environ: Mapping[str, str]) -> Report:
    from google.cloud.firestore import Client  # noqa: PLC0415 -- grpc reads the environment when it is first imported

    from functions.adapters.firestore import FirestoreStore  # noqa: PLC0415
    from functions.adapters.identity import identity_provider  # noqa: PLC0415
    from functions.adapters.walk import FirestoreWalk  # noqa: PLC0415

    settings, clock = subscriber_settings(environ), SystemClock()
    client = Client(settings.project, database=settings.database)
    store = FirestoreStore(client)
    # A slot is for one request, and the audit tries again itself.
    stripe = Budgeted(
        StripeApi(settings.stripe_api_key, settings.stripe_api_base, clock, retries=0), Budget(store, clock)
    )
    identity = identity_provider(identity_settings(environ)) if chosen.repair else None
    with _progress() as told:
        audit = Audit(
            stripe=stripe,
            store=store,
            walk=None if chosen.no_extra else FirestoreWalk(client),
            clock=clock,
            settings=settings,
            functions=subscribers(settings, store, stripe, clock, identity) if chosen.repair else (),
            livemode="_live_" in settings.stripe_api_key,
            told=told,
        )
        return audit.run(repair=chosen.repair)


@contextmanager
def _progress() -> Iterator[Told]:
    """A line that counts, or one for each page. The report, perhaps as JSON, has stdout for itself."""

    def text(name: str, looked_at: int, differing: int) -> str:
        return f"{name}: {looked_at:,} looked at, {differing:,} differ"

    if not (has_rich() and sys.stderr.isatty()):

        def say(name: str, looked_at: int, differing: int) -> None:
            sys.stderr.write(text(name, looked_at, differing) + "\n")
            sys.stderr.flush()

        yield say
        return
    from rich.console import Console  # noqa: PLC0415 -- it may not be there

    with Console(stderr=True).status("asking Stripe") as status:
        yield lambda name, looked_at, differing: status.update(text(name, looked_at, differing))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m functions.operations.audit",
        description="Compare Stripe's customers, subscriptions and paid sessions with Firestore and name each "
        "difference, without changing anything. Settings come from the environment and from .env, as for the "
        "functions.",
        epilog="Exit code 0: no difference. 1: differences. 2: could not be found out.",
    )
    parser.add_argument(
        "--repair", action="store_true", help="apply what is missing or stale, in silence, and look again"
    )
    parser.add_argument(
        "--no-extra", action="store_true", help="do not go through the documents for what Stripe does not have"
    )
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    return parser


if __name__ == "__main__":
    os.environ.setdefault("GRPC_SINGLE_THREADED_UNARY_STREAM", "1")
    sys.exit(main(sys.argv[1:], environment()))
