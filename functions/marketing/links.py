"""The link by which the reader of an offer refuses all further ones, without a password and without an end.

Whoever holds the link may use it: it is the reader's, and all it can do is stop advertising. It never expires, because
the right to refuse does not, and old mails are where people look for it.
"""

import hashlib
import re
from dataclasses import dataclass, field

from itsdangerous import BadData, URLSafeSerializer
from itsdangerous.encoding import base64_decode, base64_encode

from functions.paths import address_hash

#: The name of the token in the link's query.
PARAMETER = "t"
#: Keeps tokens and hashes of other purposes apart, should they ever share a key.
_SALT = "unsubscribe"
_TOKEN = re.compile(r"[A-Za-z0-9_.-]{1,1000}")


class BadLink(Exception):
    """No link of ours: cut off on its way, changed, or signed with a key that is no longer listed."""


@dataclass(frozen=True, slots=True)
class UnsubscribeLinks:
    """Makes and reads links to `base_url`, the page's own address without a query.

    `keys` are secrets, the newest first: the first signs, each of them is believed.
    """

    base_url: str
    keys: tuple[str, ...] = field(repr=False)

    def __post_init__(self) -> None:
        if not all(self.keys) or not self.keys:
            raise ValueError("links are signed: no key, no links")

    def url(self, customer: str, address: str) -> str:
        """The link for a mail that goes to this address because of this customer (`cus_…` or `guest_…`).

        The same for the same two, and without the address in clear: links are forwarded, and written to access logs.
        """
        token = self._serializer().dumps([customer, address_hash(address)])
        return f"{self.base_url}?{PARAMETER}={token}"

    def read(self, token: str) -> tuple[str, str]:
        """The customer, and the hash of the address. Raises BadLink."""
        if not _TOKEN.fullmatch(token) or not _is_canonical(token):
            raise BadLink
        try:
            signed = self._serializer().loads(token)
        except BadData:
            raise BadLink from None
        match signed:
            case [str(customer), str(hashed)] if customer:
                return customer, hashed
        raise BadLink

    @staticmethod
    def headers(url: str) -> dict[str, str]:
        """What makes a mail program show its own button, and post without asking further: RFC 2369 and RFC 8058."""
        return {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}

    def _serializer(self) -> URLSafeSerializer:
        # itsdangerous signs with the last of its keys.
        return URLSafeSerializer(
            list(reversed(self.keys)),
            salt=_SALT,
            signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
        )


def _is_canonical(token: str) -> bool:
    """Whether the signature is spelled as we spell it. Base64 has several ways, all of which would be accepted."""
    signature = token.rpartition(".")[2]
    try:
        return base64_encode(base64_decode(signature)).decode() == signature
    except BadData:
        return False
