"""The exceptions of the system. Each says by its class what must happen to the event."""


class SettingsError(Exception):
    """A setting is missing or malformed: the function must not start. The message names every such variable."""


class Permanent(Exception):
    """The event can never succeed as it is. It is parked with this reason and acknowledged.

    `detail` is parked too, and kept out of logs: it may quote what somebody typed.
    """

    def __init__(self, reason: str, detail: str | None = None) -> None:
        super().__init__(reason)
        self.detail = detail


class Missing(Permanent):
    """Stripe has no such object: it is deleted, or was never there."""


class Malformed(Permanent):
    """Stripe's data lacks something a decision needs, or has it in an impossible form."""


class Retry(Exception):
    """Something outside failed for now: raise, so that Pub/Sub delivers the event again with backoff."""


class NotYet(Retry):
    """What another function does with the same event is not done yet: look again in a moment."""


class Unexpected(Exception):
    """Something nobody thought of went wrong: the message comes back. Says what kind, and not what it quoted."""


class Conflict(Exception):
    """A document changed between the read and the commit: read again, decide again."""
