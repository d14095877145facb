"""The shop whose mails are shown, and what one sample is."""

from dataclasses import dataclass

from functions.letters import Letter
from functions.mail.settings import Brand, MailSettings
from functions.marketing.links import UnsubscribeLinks

SETTINGS = MailSettings(
    brand=Brand(
        name="喫茶 山猫",
        url="https://yamaneko.example",
        color="#6b3f23",
        footer=("株式会社山猫", "〒111-0036 東京都台東区松が谷9-9-9", "営業時間 11:00〜19:00（月曜定休）"),
        upgrade_url="https://yamaneko.example/plans",
    ),
    support_email="support@example.com",
    unsubscribe=UnsubscribeLinks("https://asia-northeast1-yamaneko.cloudfunctions.net/unsubscribe", ("k" * 32,)),
)


@dataclass(frozen=True)
class Sample:
    """One letter. `name` is the mail's, and what is special about it: `order_pending-konbini`."""

    name: str
    letter: Letter
    note: str
