"""`python -m functions.operations.reconcile`: publish again what Stripe could not deliver, or everything of a period.

The function `reconcile` does the former every hour by itself; this is for whoever has mended something and does not
want to wait, or whose functions have lost what they were told. What is published runs through every function once more,
and whatever they know already changes nothing. It may be broken off at any time; asked for the same, it goes on.
"""

import argparse
import json
import math
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from functions.accounts.budget import Budget
from functions.adapters.clock import SystemClock
from functions.adapters.stripe import StripeApi
from functions.clock import Clock
from functions.errors import Permanent, Retry, SettingsError
from functions.log import JsonLog
from functions.operations.environment import environment
from functions.operations.rehearsal import Rehearsal
from functions.operations.showing import has_rich
from functions.reconcile.course import BY_HAND, Counts, Course, Overtaken
from functions.reconcile.reconciler import Reconciler
from functions.reconcile.window import window_since
from functions.settings.reconcile import ReconcileSettings, reconcile_settings
from functions.store import Store
from functions.topology import TOPIC
from functions.webhook import Publisher

Told = Callable[[Counts], None]


class _Nobody:
    """A topic that takes everything and tells nobody."""

    def publish(self, data: bytes, attributes: Mapping[str, str], deadline_seconds: float) -> None:
        """Do nothing."""


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """0: done. 1: some of what Stripe lists is no event that can be read. 2: broken off, or not begun."""
    chosen = _parser().parse_args(arguments)
    try:
        course = _run(chosen, environ)
    except (Retry, Permanent) as problem:
        return _broken_off(f"{problem}\nWhat is done is kept: the same command goes on from there.")
    except KeyboardInterrupt:
        return _broken_off("Interrupted. What is done is kept: the same command goes on from there.")
    except (Overtaken, SettingsError, ValueError) as problem:
        return _broken_off(str(problem))
    if chosen.json:
        sys.stdout.write(json.dumps(as_json(course), indent=2) + "\n")
    else:
        sys.stdout.write("\n".join(as_lines(course, dry_run=chosen.dry_run)) + "\n")
    return 1 if course.counts.unreadable else 0


#: The same command within that time goes on where it was broken off.
_FRESH_SECONDS = 3600


def reconcile(
    reconciler: Reconciler, *, since: str, everything: bool, restart: bool = False, told: Told = lambda _: None
) -> Course:
    """One run by hand, to its end. Raises ValueError, Overtaken, Retry or Permanent."""
    window = window_since(since, reconciler.clock.now())
    course = Course.open(
        reconciler.store,
        reconciler.clock,
        BY_HAND,
        secrets.token_hex(8),
        asked=f"{'all' if everything else 'undelivered'} since {since}",
        window=lambda _: window,
        restart=restart,
        # `--since 3d` of yesterday is not that of today.
        fresh_seconds=_FRESH_SECONDS,
    )
    reconciler.go_through(course, undelivered=not everything, seconds=math.inf, told=told)
    return course


def as_json(course: Course) -> dict[str, object]:
    """The report for other programs; times are in epoch seconds."""
    window = {"since": course.window.since, "until": course.window.until}
    return {"asked": course.asked, **window, "started_at": course.started_at, **course.counts.fields()}


def as_lines(course: Course, *, dry_run: bool) -> list[str]:
    """The report for a person."""
    counts = course.counts
    published = "would be published" if dry_run else "published"
    lines = [
        f"Events {course.asked}: from {_moment(course.window.since)} to {_moment(course.window.until)}",
        f"looked at {counts.looked_at}, ours {counts.ours}, known {counts.known}, {published} {counts.published}",
    ]
    lines += [f"  {count:>7}  {event_type}" for event_type, count in counts.by_type.most_common()]
    return lines + ([f"not readable: {counts.unreadable}, see above"] if counts.unreadable else [])


def wired(
    settings: ReconcileSettings, *, database: Store, store: Store, publisher: Publisher, clock: Clock
) -> Reconciler:
    """A reconciler that notes in `store` how far it is, within the budget that `database` keeps for everybody."""
    return Reconciler(
        livemode=settings.livemode,
        forward_all=settings.forward_all,
        stripe=StripeApi(settings.stripe_api_key, settings.stripe_api_base, clock, retries=0),
        budget=Budget(database, clock),
        publisher=publisher,
        store=store,
        clock=clock,
        log=JsonLog(sys.stderr),
    )


def _run(chosen: argparse.Namespace, environ: Mapping[str, str]) -> Course:
    from google.cloud.firestore import Client  # noqa: PLC0415 -- grpc reads the environment when it is first imported
    from google.cloud.pubsub_v1 import PublisherClient  # noqa: PLC0415

    from functions.adapters.firestore import FirestoreStore  # noqa: PLC0415
    from functions.adapters.pubsub import PubSubTopic  # noqa: PLC0415

    settings, clock = reconcile_settings(environ), SystemClock()
    database: Store = FirestoreStore(Client(settings.project, database=settings.database))
    reconciler = wired(
        settings,
        database=database,
        store=Rehearsal(database) if chosen.dry_run else database,
        publisher=_Nobody() if chosen.dry_run else PubSubTopic(PublisherClient, settings.project, TOPIC, clock),
        clock=clock,
    )
    with _progress() as told:
        return reconcile(
            reconciler,
            since=chosen.since,
            everything=chosen.all,
            restart=chosen.restart or chosen.dry_run,
            told=told,
        )


@contextmanager
def _progress() -> Iterator[Told]:
    """A line that counts, or one for each page. The report, perhaps as JSON, has stdout for itself."""
    total = Counts()

    def text() -> str:
        return f"{total.looked_at:,} looked at, {total.ours:,} ours, {total.published:,} published"

    if not (has_rich() and sys.stderr.isatty()):

        def say(counts: Counts) -> None:
            total.add(counts)
            sys.stderr.write(text() + "\n")
            sys.stderr.flush()

        yield say
        return
    from rich.console import Console  # noqa: PLC0415 -- it may not be there

    with Console(stderr=True).status("asking Stripe") as status:

        def show(counts: Counts) -> None:
            total.add(counts)
            status.update(text())

        yield show


def _moment(epoch_seconds: int) -> str:
    return f"{datetime.fromtimestamp(epoch_seconds, UTC):%Y-%m-%d %H:%M} UTC"


def _broken_off(message: str) -> int:
    sys.stderr.write(f"Broken off: {message}\n")
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m functions.operations.reconcile",
        description="Publish again what Stripe could not deliver, the way the webhook would have. Settings come from "
        "the environment and from .env, as for the functions. Broken off, the same command goes on where it was.",
        epilog="Events of connected accounts are in lists of their own, and not looked at.",
    )
    parser.add_argument("--since", default="3d", metavar="WHEN", help="2026-11-20 (UTC), 3d or 12h; 3d unless said")
    parser.add_argument(
        "--all", action="store_true", help="every event, delivered or not, published before or not; 30 days at most"
    )
    parser.add_argument("--restart", action="store_true", help="begin anew what was broken off")
    parser.add_argument("--dry-run", action="store_true", help="look at everything from the start and publish nothing")
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    return parser


if __name__ == "__main__":
    os.environ.setdefault("GRPC_SINGLE_THREADED_UNARY_STREAM", "1")
    sys.exit(main(sys.argv[1:], environment()))
