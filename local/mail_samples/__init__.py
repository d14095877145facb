"""Every mail as a small coffee shop in Tokyo would send it, in every variant: what people look at, and tests render."""

from local.mail_samples.events import event_samples
from local.mail_samples.reminders import reminder_samples
from local.mail_samples.sample import SETTINGS, Sample

__all__ = ["SETTINGS", "Sample", "samples"]


def samples() -> tuple[Sample, ...]:
    """At least one for each row of the table of mails."""
    return event_samples() + reminder_samples()
