"""`make mail`: every mail in every language and to every reader, as files and as one page to look through them.

What is shown are the documents of the mail collection, since what a reader gets is made of nothing else.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

from babel import Locale
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from rich.console import Console

from functions.letters import Letter
from functions.mail.locales import LANGUAGES, choose
from functions.mail.outbox import post
from functions.mail.settings import Brand, MailSettings
from functions.mail.table import BY_NAME, MAILS
from local.mail_samples import SETTINGS, Sample, samples

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".local/mail"
INDEX = Path(__file__).with_name("mail_gallery.html.jinja")
#: A shop that has set only what it must, and one that sends offers, which takes an address and a way to refuse them.
BARE = MailSettings(brand=Brand(name=SETTINGS.brand.name), support_email=SETTINGS.support_email)
OFFERING = replace(BARE, brand=replace(BARE.brand, footer=SETTINGS.brand.footer), unsubscribe=SETTINGS.unsubscribe)

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One document, of one sample in one language. `path` is the document's."""

    sample: Sample
    language: str
    path: str
    document: Json

    @property
    def kind(self) -> str:
        """The mail's name, as the table has it."""
        return self.sample.letter.facts.MAIL

    @property
    def name(self) -> str:
        """What its files are called: `order_paid-konbini.ja.customer`."""
        return f"{self.sample.name}.{self.language}.{self.document['audience']}"


def written(settings: MailSettings = SETTINGS) -> Iterator[Written]:
    """Every sample, and every mail once more with as little in it as there may be."""
    yield from _written(samples(), settings)
    for sample in bare_samples():
        yield from _written([sample], OFFERING if BY_NAME[sample.letter.facts.MAIL].offer else BARE)


def _written(of: Iterable[Sample], settings: MailSettings) -> Iterator[Written]:
    for sample in of:
        for language in LANGUAGES:
            letter = _in_language(sample.letter, language)
            for created in post([letter], replace(settings, locale=language), letter.since).documents:
                yield Written(sample=sample, language=language, path=created.path, document=dict(created.fields))


def _in_language(letter: Letter, language: str) -> Letter:
    """A reader of that language keeps the tag, and with it the region that money and dates are written for."""
    own = letter.reader.locales
    locales = own if choose(own, language)[0] == language else (language,)
    return replace(letter, reader=replace(letter.reader, locales=locales))


def bare_samples() -> Iterator[Sample]:
    """The first sample of each mail without anything it may lack, but for that without which it is not written."""
    first = {sample.letter.facts.MAIL: sample for sample in reversed(samples())}
    for mail in MAILS:
        letter = first[mail.name].letter
        bare = replace(_bare(letter), reader=replace(_bare(letter.reader), email=letter.reader.email))
        if mail.offer:
            bare = replace(bare, origin=replace(bare.origin, customer=letter.origin.customer))
        yield Sample(name=f"{mail.name}-bare", letter=bare, note="As little as there may be")


def _bare(value: Any) -> Any:
    """A copy with None wherever there may be None, however deep."""
    hints = get_type_hints(type(value))
    changes: Json = {}
    for field in fields(value):
        present = getattr(value, field.name)
        if type(None) in get_args(hints[field.name]):
            changes[field.name] = None
        elif isinstance(present, tuple):
            changes[field.name] = tuple(_bare(each) for each in present if is_dataclass(each))
        elif is_dataclass(present):
            changes[field.name] = _bare(present)
    return replace(value, **changes)


def write(folder: Path) -> list[Written]:
    """All of them as files, and `index.html`. What an earlier run left there goes; other folders in it stay."""
    folder.mkdir(parents=True, exist_ok=True)
    for pattern in ("*.html", "*.txt"):
        for left in folder.glob(pattern):
            left.unlink()
    mails = list(written())
    for mail in mails:
        for form, suffix in (("html", "html"), ("text", "txt")):
            (folder / f"{mail.name}.{suffix}").write_text(mail.document["message"][form], "utf-8")
    (folder / "index.html").write_text(_index(mails), "utf-8")
    return mails


def _index(mails: list[Written]) -> str:
    """One page with everything in it: a browser lets a page from a file read no other file."""
    environment = Environment(
        loader=FileSystemLoader(INDEX.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    groups: dict[str, dict[str, Sample]] = {row.name: {} for row in MAILS}
    for mail in mails:
        groups[mail.kind][mail.sample.name] = mail.sample
    return environment.get_template(INDEX.name).render(
        brand=SETTINGS.brand.name,
        groups={BY_NAME[name]: list(shown.values()) for name, shown in groups.items()},
        count=len(mails),
        languages={language: Locale(language).display_name for language in LANGUAGES},
        # In a script nothing is markup but what could end it.
        mails=json.dumps([_told(mail) for mail in mails], ensure_ascii=False).replace("<", "\\u003c"),
    )


def _told(mail: Written) -> Json:
    """What the page shows of one mail."""
    document = mail.document
    above = {
        "To": ", ".join(document["to"]),
        "From": document.get("from"),
        "Reply-To": document.get("replyTo"),
        **document["headers"],
        "Document": mail.path,
    }
    return {
        "name": mail.name,
        "sample": mail.sample.name,
        "language": mail.language,
        "reader": document["audience"],
        "above": {name: value for name, value in above.items() if value},
        **document["message"],
    }


def main() -> int:
    """Write everything and say where it is. Returns the exit code."""
    console = Console(highlight=False)
    mails = write(FOLDER)
    counts = Counter(mail.language for mail in mails)
    told = ", ".join(f"{count} in {Locale(language).english_name}" for language, count in counts.items())
    kinds = {mail.kind for mail in mails}
    console.print(f"[bold green]{len(mails)} mails[/] of {len(kinds)} kinds: {told}.")
    console.print(f"Look at them in [bold]{(FOLDER / 'index.html').relative_to(ROOT)}[/].", soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
