"""Reading the environment: one variable after the other, each checked, every problem said at once and by name.

Each parser raises ValueError with what is wrong, as the end of a sentence that begins with the variable's name.
"""

import re
from collections.abc import Callable, Mapping
from typing import TypeVar, cast

from functions.errors import SettingsError

T = TypeVar("T")

_KEY_CHARACTERS = 32


class Reader:
    """Reads one variable after the other and remembers what is wrong with them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._problems: list[str] = []

    def __call__(self, name: str, parse: Callable[[str], T], default: str | None = None) -> T:
        text = self._environ.get(name, "").strip() or default
        try:
            return parse(present(text))
        except ValueError as problem:
            self._problems.append(f"{name} {problem}")
            # Never used: `check` raises before the settings reach anybody.
            return cast("T", None)

    def refuse(self, problem: str) -> None:
        """Say what is wrong between variables."""
        self._problems.append(problem)

    def check(self) -> None:
        if self._problems:
            # Once each: a variable may be read for two settings of one function.
            raise SettingsError("; ".join(dict.fromkeys(self._problems)) + ". See the settings table in README.md.")


def present(text: str | None) -> str:
    if text is None:
        raise ValueError("is not set")
    return text


def switch(text: str) -> bool:
    if text.lower() in {"1", "true", "yes", "on"}:
        return True
    if text.lower() in {"0", "false", "no", "off"}:
        return False
    raise ValueError(f"is {text!r}; say true or false")


def secrets(text: str) -> tuple[str, ...]:
    """Several endpoints, or the old and the new secret while one is rotated, separated by commas or line ends."""
    secrets = tuple(part for part in re.split(r"[,\s]+", text) if part)
    if not secrets:
        raise ValueError("is not set")
    if any(not re.fullmatch(r"whsec_\S+", secret) for secret in secrets):
        raise ValueError("holds something that is not a signing secret (whsec_…)")
    return secrets


def signing_keys(text: str) -> tuple[str, ...]:
    """The newest first; the old one goes on while links with it are about."""
    found = tuple(part for part in re.split(r"[,\s]+", text) if part)
    if not found or any(len(each) < _KEY_CHARACTERS for each in found):
        raise ValueError(
            f"must be random texts of {_KEY_CHARACTERS} characters or more, separated by commas or line ends"
        )
    return found


def endpoint(text: str) -> str:
    """The address of a function: https, or http on this machine."""
    if not re.fullmatch(r"(https://[A-Za-z0-9.-]+|http://(127\.0\.0\.1|localhost))(:\d+)?(/[A-Za-z0-9._~/-]*)?", text):
        raise ValueError("is not the address of a function: https://…")
    return text.rstrip("/")


def whole_number(text: str) -> int:
    if not re.fullmatch(r"\d{1,5}", text):
        raise ValueError(f"is {text!r}; it must be a whole number")
    return int(text)


def api_key(text: str) -> str:
    if not re.fullmatch(r"(sk|rk)_(org_)?(test|live)_\S+", text):
        raise ValueError("is not a secret or restricted API key (sk_… or rk_…)")
    return text


def url(text: str) -> str:
    if not re.fullmatch(r"https?://([A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(:\d+)?/?", text):
        raise ValueError("is not the address of a server: http:// or https://, a name, perhaps a port")
    return text.rstrip("/")


def database(text: str) -> str:
    if not re.fullmatch(r"\(default\)|[a-z][a-z0-9-]{2,61}[a-z0-9]", text):
        raise ValueError(f"is {text!r}; it must be (default) or a Firestore database id")
    return text


def project(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9.:-]+", text):
        raise ValueError(f"is {text!r}; it must be a Google Cloud project id")
    return text


def metadata_key(text: str) -> str:
    if len(text) > 40 or "[" in text or "]" in text:
        raise ValueError("is not a key Stripe allows in metadata: at most 40 characters, no brackets")
    return text


def optional(parse: Callable[[str], T]) -> Callable[[str], T | None]:
    return lambda text: parse(text) if text else None
