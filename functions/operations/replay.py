"""`python -m functions.operations.replay`: parked events, published again once their cause is mended.

One event, several by function, type, reason or time, or all; each goes to the one function it failed in. What has
meanwhile succeeded changes nothing, so it may be run as often as one likes. The documents stay, with what came of them.
"""

import argparse
import os
import re
import secrets
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from zoneinfo import ZoneInfo

from functions.adapters.clock import SystemClock
from functions.adapters.stripe import StripeApi
from functions.errors import Permanent, Retry, SettingsError
from functions.operations.environment import environment
from functions.operations.replay_report import Bars, Report, lines
from functions.operations.replaying import FUNCTIONS, Kept, Progress, Replaying, Selection, target_of
from functions.operations.showing import has_rich
from functions.settings.subscriber import SubscriberSettings, subscriber_settings
from functions.topology import TOPIC

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_FILTERS = ("event", "function", "type", "reason", "since", "until")
_PATIENCE_SECONDS = 120.0


class Refused(Exception):
    """There is nothing to be done like that; the message says why, and what to say instead."""


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """0: all ended well. 1: some are parked again, not done yet, or cannot be published. 2: it could not run."""
    chosen = _parser().parse_args(arguments)
    try:
        report = _run(chosen, environ)
    except Retry as problem:
        return _not_run(f"{problem}\nWhat was published stays so. Run it again: what ended well is left out then.")
    except KeyboardInterrupt:
        return _not_run("Interrupted. What was published goes on by itself.")
    except (Refused, SettingsError, Permanent) as problem:
        return _not_run(str(problem))
    report.write(sys.stdout, as_json=chosen.json)
    return 0 if report.is_well else 1


def _not_run(message: str) -> int:
    sys.stderr.write(f"Not replayed: {message}\n")
    return 2


def _run(chosen: argparse.Namespace, environ: Mapping[str, str]) -> Report:
    from google.cloud.firestore import Client  # noqa: PLC0415 -- imports grpc
    from google.cloud.pubsub_v1 import PublisherClient  # noqa: PLC0415

    from functions.adapters.parked import FirestoreParkedEvents  # noqa: PLC0415
    from functions.adapters.pubsub import PubSubTopic  # noqa: PLC0415

    settings, clock = subscriber_settings(environ), SystemClock()
    kept = FirestoreParkedEvents(Client(settings.project, database=settings.database))
    selection = _selection(chosen, settings, clock.now())
    if selection is None:
        raise Refused(_what_there_is(kept))
    events = list(selection.of(kept))
    if chosen.dry_run:
        problems = [(each, *target_of(each, chosen.to)) for each in events]
        return Report.of_a_rehearsal(problems)
    with _progress() as progress:
        replaying = Replaying(
            kept=kept,
            publisher=PubSubTopic(PublisherClient, settings.project, TOPIC, clock),
            stripe=StripeApi(settings.stripe_api_key, settings.stripe_api_base, clock),
            clock=clock,
            progress=progress,
            run=secrets.token_hex(8),
            to=chosen.to,
        )
        ended = replaying.replay(events, 0 if chosen.no_wait else chosen.wait)
    return Report(ended=ended, waited=not chosen.no_wait)


def _selection(chosen: argparse.Namespace, settings: SubscriberSettings, now: float) -> Selection | None:
    """What was asked for; None where nothing was. Raises Refused."""
    if not chosen.all and all(getattr(chosen, name) is None for name in _FILTERS):
        return None
    zone = settings.mail.timezone
    return Selection(
        event=chosen.event,
        function=chosen.function,
        type=chosen.type,
        reason=chosen.reason,
        since=None if chosen.since is None else when(chosen.since, now, zone),
        until=None if chosen.until is None else when(chosen.until, now, zone),
        include_replayed=chosen.include_replayed,
    )


def when(text: str, now: float, zone: ZoneInfo) -> float:
    """Epoch seconds: `3d`, `2h` or `90m` ago, a date, or a time in ISO 8601, in `zone` unless it says another.

    Raises Refused.
    """
    if ago := re.fullmatch(r"(\d{1,6})([smhd])", text):
        return now - int(ago[1]) * _UNITS[ago[2]]
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()
    except (ValueError, OverflowError):
        raise Refused(f"{text!r} is no time: say 2026-11-24, 2026-11-24T09:30, 3d, 2h or 90m") from None


def _what_there_is(kept: Kept) -> str:
    counts = Counter((each.function, each.reason) for each in Selection().of(kept))
    if not counts:
        return "nothing is parked."
    listed = [f"  {count:>6,}  {function}: {reason}" for (function, reason), count in counts.most_common(50)]
    more = [f"  … and {len(counts) - 50} other reasons"] if len(counts) > 50 else []
    choose = "Choose: --event, --function, --type, --reason, --since, --until, or --all. --dry-run shows what would be."
    return "\n".join((f"which of the {counts.total():,} parked events?", *listed, *more, choose))


def _progress() -> AbstractContextManager[Progress]:
    return Bars() if has_rich() and sys.stderr.isatty() else nullcontext(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m functions.operations.replay",
        description="Publish parked events again, each to the one function it failed in. Settings come from the "
        "environment and from .env, as for the functions. Without a choice it says what there is.",
        epilog="Filters may be combined. WHEN is a date, a time (ISO 8601, in TIMEZONE unless it says another), or how "
        "long ago: 3d, 2h, 90m. Whoever runs it reads and writes Firestore, and publishes to the topic of events.",
    )
    names = sorted(FUNCTIONS)
    parser.add_argument("--event", metavar="ID", help="this event (evt_…), in every function it failed in")
    parser.add_argument("--function", metavar="NAME", help=f"what failed in this function: {', '.join(names)}, unknown")
    parser.add_argument("--type", help="events of this type")
    parser.add_argument("--reason", metavar="TEXT", help="those whose reason contains this")
    parser.add_argument("--since", metavar="WHEN", help="parked then or later")
    parser.add_argument("--until", metavar="WHEN", help="parked then or earlier")
    parser.add_argument("--all", action="store_true", help="every parked event that has not been replayed")
    parser.add_argument(
        "--include-replayed", action="store_true", help="also those that have been replayed and ended well"
    )
    parser.add_argument("--to", choices=names, help="the function for events that do not say which one they failed in")
    parser.add_argument("--dry-run", action="store_true", help="show what would be replayed, and change nothing")
    waiting = parser.add_mutually_exclusive_group()
    waiting.add_argument("--wait", type=_seconds, default=_PATIENCE_SECONDS, metavar="SECONDS", help="how long to wait")
    waiting.add_argument("--no-wait", action="store_true", help="publish, and leave it at that")
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    return parser


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number <= 86_400:
        raise ValueError
    return number


if __name__ == "__main__":
    # Read when grpc is first imported: a batched read otherwise starts a thread for each call.
    os.environ.setdefault("GRPC_SINGLE_THREADED_UNARY_STREAM", "1")
    sys.exit(main(sys.argv[1:], environment()))
