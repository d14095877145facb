"""What strangers typed, made fit for a mail: one line of visible characters, names that are names, safe links.

Anybody can open a checkout page and type there what this system then mails, under the shop's name, to an address that
they typed as well. Everything here takes it for granted that the text was written to do harm.
"""

import re
import unicodedata

#: Longer texts are read no further: the longest that Stripe takes have 5,000 characters, and normalising a run of
#: combining marks takes time with the square of its length.
_READ = 5_000
_NAME = 60
_URL = 2_000

_JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
#: Not of a category that says so, yet without a shape of their own: https://www.unicode.org/reports/tr44/
#: (Default_Ignorable_Code_Point). Of the variation selectors, those that choose between text and emoji are kept.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0\ufffc") | frozenset(
    map(chr, (*range(0xFE00, 0xFE0E), *range(0xE0100, 0xE01F0)))
)
#: Blank, though Unicode calls it a symbol.
_BLANK = "\N{BRAILLE PATTERN BLANK}"
#: What stacks upon a letter. The spacing marks of Indian and Burmese writing are not among it: a word has many.
_STACKED = {"Mn", "Me"}
#: Biblical Hebrew and Tibetan get by with four on one letter; what has more is drawn over the lines around it.
_MOST_STACKED = 4
_SKIN_TONES = frozenset(map(chr, range(0x1F3FB, 0x1F400)))
_FLAG_LETTERS = frozenset(map(chr, range(0x1F1E6, 0x1F200)))


def clean(text: str, limit: int = 200) -> str:
    """`text` as one line of at most `limit` visible characters, ended by `…` where something was cut off.

    The threat: line ends that start a header or a paragraph of the sender's own; bidi controls that let `gpj.exe` read
    as `exe.jpg`; characters that nobody sees, which carry text past filters; marks heaped until they cover the lines
    above. Words of all living languages and emoji stay as they are; flags of regions (England) lose their region, and
    rare variants of ideographs and of Mongolian letters become the common ones. What is clean comes back unchanged.
    """
    shown = "".join(map(_shown, text[:_READ]))
    line = _joined(unicodedata.normalize("NFC", shown))
    if len(line) <= limit and len(text) <= _READ:
        return line
    end = max(min(len(line), limit) - 1, 0)
    while end > 0 and not _may_be_cut(line, end):
        end -= 1
    return line[:end].rstrip() + "…"


def _shown(character: str) -> str:
    """The character, a space for one that moves the eye on, or nothing for one that nobody sees."""
    category = unicodedata.category(character)
    if character.isspace() or category in {"Cc", "Zs", "Zl", "Zp"} or character == _BLANK:
        return " "
    if character in _JOINERS:
        return character
    return "" if category[0] == "C" or character in _INVISIBLE else character


def _joined(text: str) -> str:
    """Single spaces only, joiners only between what they join, and no more marks on a letter than languages have."""
    line: list[str] = []
    on_letter = False
    stacked = 0
    joiner = ""
    for character in text:
        if character == " ":
            if line and line[-1] != " ":
                line.append(" ")
            on_letter, joiner = False, ""
            continue
        if character in _JOINERS:
            joiner = joiner or (character if on_letter else "")
            continue
        if (category := unicodedata.category(character))[0] == "M":
            # A joiner does not begin a new heap.
            stacked += category in _STACKED
            if not on_letter or (category in _STACKED and stacked > _MOST_STACKED):
                continue
        else:
            on_letter, stacked = True, 0
        line += joiner, character
        joiner = ""
    return "".join(line).rstrip(" ")


def _may_be_cut(line: str, at: int) -> bool:
    """Whether what readers take for one character stays whole: https://www.unicode.org/reports/tr29/, in short."""
    before, after = line[at - 1], line[at]
    if unicodedata.category(after)[0] == "M" or after in _SKIN_TONES or after in _JOINERS or before in _JOINERS:
        return False
    if after not in _FLAG_LETTERS:
        return True
    letters = len(line[:at]) - len(line[:at].rstrip("".join(_FLAG_LETTERS)))
    return letters % 2 == 0


#: What mail programs underline when they meet it in a text. A word after a dot is taken for a top-level domain where
#: it begins with a small letter (bit.ly) or is a well-known one (Evil.COM); J.R. Smith and Dr.Who are people.
_KNOWN_ENDINGS = "app biz cc click co com dev gg gl icu info io jp link ly me net online org ru shop site to top tv xyz"
_ADDRESS = re.compile(
    rf"""
    :// | @ | www\. | mailto:
    | \w \. (?: (?-i:[a-zа-яα-ω]) [^\W\d_]+ | (?:{"|".join(_KNOWN_ENDINGS.split())}) (?![a-z0-9-]) | xn-- )
    | \w \. \w+ (?: [/?\#] | :\d )
    | (?<!\d) (?:\d{{1,3}}\.){{3}} \d
    """,
    re.IGNORECASE | re.VERBOSE,
)


def person(name: str | None) -> str | None:
    """A name to begin a letter with, at most 60 characters; None for what is none.

    The threat: `Win a phone at evil.com` typed as a name makes the shop's own, signed mail carry a spammer's link to
    whomever they like, since mail programs underline whatever looks like an address. A person whose name looks so to us
    is greeted without one.
    """
    if name is None:
        return None
    cleaned = clean(name, _NAME)
    # Cutting may make an address of what was none (evil.Comfort…), or hide one.
    if _looks_like_an_address(cleaned) or _looks_like_an_address(clean(name, _READ)):
        return None
    return cleaned if any(map(str.isalpha, cleaned)) else None


def _looks_like_an_address(text: str) -> bool:
    # As a mail program may see it: ｅｖｉｌ。ｃｏｍ has other letters and another dot, and marks or joiners may stand
    # between them.
    seen = unicodedata.normalize("NFKC", text).replace("。", ".")
    letters = (c for c in seen if c not in _JOINERS and unicodedata.category(c)[0] != "M")
    return _ADDRESS.search("".join(letters)) is not None


#: A whitelist rather than a parser: parsers disagree about what a browser makes of the rest. No user info, since
#: https://shop.example@evil.com leads to evil.com, and no quotes, since a link stands in an attribute. Without https
#: only what leads to nobody else: the reader's own machine, where the local system and its emulators are.
_LINK = re.compile(
    r"(https://[a-z0-9-]+(\.[a-z0-9-]+)*|http://(127\.0\.0\.1|localhost))(:[0-9]{1,5})?"
    r"([/?#][a-z0-9._~:/?#\[\]@!$&()*+,;=%-]*)?",
    re.IGNORECASE | re.ASCII,
)


def link(url: str | None) -> str | None:
    """`url` where it is a complete https address of plain ASCII with at most 2,000 characters; None otherwise.

    An address on this very machine need not be https.

    The threat: `javascript:` and `data:` in an `href`, quotes and white space that end the attribute, a user name or a
    backslash that shows one host and leads to another.
    """
    return url if url is not None and len(url) <= _URL and _LINK.fullmatch(url) else None
