"""Everything in a Firestore database, and how it differs from what should be there."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from google.cloud.firestore import Client, DocumentSnapshot

Json = dict[str, Any]
#: What says by which event a document came to be so, and what was told meanwhile: that depends on the order of arrival.
TRACES = frozenset({"as_of", "as_of_events", "mails", "reminders", "next_reminder_at", "said"})
#: Mails about what may be over before its event arrives, by the beginnings of their ids: then they are not written.
PASSING = (
    *("order_pending", "order_failed", "invoice_unpaid", "invoice_action", "trial_ending", "refund", "welcome"),
    "link_conflict",
)


def snapshots(client: Client) -> "Iterator[DocumentSnapshot[Any]]":
    """Every document there is, wherever it lies: a collection group without a name is all of them."""
    yield from client.collection_group("").stream()


def by_path(found: Iterable["DocumentSnapshot[Any]"]) -> dict[str, Json]:
    """What is in these documents."""
    return {each.reference.path: each.to_dict() or {} for each in found}


def without_traces(value: Any) -> Any:
    """A document without its traces, however deep they are."""
    if isinstance(value, dict):
        return {key: without_traces(found) for key, found in value.items() if key not in TRACES}
    return [without_traces(found) for found in value] if isinstance(value, list) else value


def differences(found: Mapping[str, Json], wanted: Mapping[str, Json]) -> Iterator[str]:
    """Where two contents differ, one line each. Of mails only those count that are sent whatever arrives first."""
    for path in sorted(found.keys() | wanted.keys()):
        is_mail = path.startswith("mail/")
        if is_mail and path.removeprefix("mail/").startswith(PASSING):
            continue
        if path not in found:
            yield f"{path} is missing"
        elif path not in wanted:
            yield f"{path} should not exist"
        # Of a mail the fact is what counts: what it says of its customer is as it was when it was written.
        elif not is_mail and (there := without_traces(found[path])) != (right := without_traces(wanted[path])):
            names = sorted(key for key in there.keys() | right.keys() if there.get(key) != right.get(key))
            yield f"{path} differs in {', '.join(names)}"


def sent_again(found: Iterable["DocumentSnapshot[Any]"]) -> Iterator[str]:
    """Mails that were written more than once, one line each: the extension sends such a mail again."""
    for each in found:
        if each.reference.path.startswith("mail/") and each.create_time != each.update_time:
            yield f"{each.reference.path} was written more than once"
