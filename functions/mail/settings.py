"""What every mail has in common: the brand, the sender, the language, and which mails are written at all."""

from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from functions.marketing.links import UnsubscribeLinks

DEFAULT_COLOR = "#1f6f54"


@dataclass(frozen=True, slots=True, kw_only=True)
class Brand:
    """Who writes. Addresses of pages and pictures are https."""

    name: str
    url: str | None = None
    logo_url: str | None = None
    #: `#rrggbb`: buttons and the line under the name.
    color: str = DEFAULT_COLOR
    #: Lines at the foot of each mail: the company's postal address, its registration, what the law wants to see.
    footer: tuple[str, ...] = ()
    #: Where a customer changes to a larger plan.
    upgrade_url: str | None = None

    @property
    def text_color(self) -> str:
        """Black or white, whichever can be read on the colour: https://www.w3.org/TR/WCAG22/#dfn-relative-luminance."""
        channels = (int(self.color[at : at + 2], 16) / 255 for at in (1, 3, 5))
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
        return "#000000" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 else "#ffffff"


@dataclass(frozen=True, slots=True, kw_only=True)
class MailSettings:
    """How mail is written."""

    brand: Brand
    support_email: str
    #: `Shop <shop@example.com>`. None: what the extension is configured with.
    sender: str | None = None
    reply_to: str | None = None
    #: For support, and for readers whose own language does not ship.
    locale: str = "ja"
    timezone: ZoneInfo = field(default_factory=lambda: ZoneInfo("Asia/Tokyo"))
    #: What became true longer ago is told to nobody.
    max_age_seconds: int = 3 * 86_400
    #: Names of mails that are off.
    disabled: frozenset[str] = frozenset()
    collection: str = "mail"
    #: How to refuse offers. None: no offers are written.
    unsubscribe: UnsubscribeLinks | None = None
