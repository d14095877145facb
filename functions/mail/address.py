"""To whom a mail can go: an address that means one mailbox to everybody who will read it on its way."""

import re
import unicodedata

import idna

#: RFC 5321, 4.5.3.1: a path of 256 with its angle brackets.
_ADDRESS_CHARACTERS = 254
#: RFC 5322's atext, and dots wherever they like: docomo.ne.jp, ezweb.ne.jp and others handed out addresses such as
#: `taro..suzuki.@docomo.ne.jp`, against the RFC, and people still have them.
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+(?![0-9]+\Z){_LABEL}")
#: RFC 6761: names that lead nowhere, or to the sender's own machine. Its `.test` and `.example` are what demos use.
_NOWHERE = (".invalid", ".localhost")


def writable(email: str | None) -> str | None:
    """The address as it can stand in the `to` of a message; None where nobody can be written to.

    Trimmed, full-width letters made plain, the domain in lower case and punycode, the local part as it is.

    The threat: `to` is a list with names in it (RFC 5322), and nodemailer reads it as one. `a@x.example, b@y.example`
    typed into a checkout page would make the shop write to two strangers, `"b@y.example" <a@x.example>` to another
    than it seems. Only what cannot be read in two ways passes: no space, comma, semicolon, colon, bracket, double
    quote, backslash, encoded word, or character that is not seen.
    """
    trimmed = (email or "").strip()
    if len(trimmed) > _ADDRESS_CHARACTERS:
        return None
    plain = unicodedata.normalize("NFKC", trimmed).strip()
    local, at, domain = plain.rpartition("@")
    if not at or not _LOCAL.fullmatch(local) or "=?" in local:
        return None
    host = _ascii(domain)
    if host is None or not _DOMAIN.fullmatch(host) or host.endswith(_NOWHERE):
        return None
    address = f"{local}@{host}"
    return address if len(address) <= _ADDRESS_CHARACTERS else None


def _ascii(domain: str) -> str | None:
    """The domain in lower case, in punycode where it is not ASCII; None where IDNA 2008 does not allow it.

    Without UTS 46, which drops characters that nobody sees and so finds a host in what is none.
    """
    if domain.isascii():
        return domain.lower()
    if len(domain) > _ADDRESS_CHARACTERS:
        return None
    try:
        return idna.encode(domain.lower()).decode("ascii")
    except idna.IDNAError:
        return None
