"""Query parameters, as strictly as Stripe reads them: unknown, empty and malformed ones are errors, never ignored."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from local.stripe_api.errors import StripeError

#: `expand[]=customer` by hand, `expand[0]=customer` from the SDK.
_LIST = re.compile(r"([a-z_]+)\[\d*\]")
_INTEGER = re.compile(r"-?\d{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """The parameters of one request."""

    values: dict[str, str]
    #: Paths such as `data.customer`.
    expand: list[str]
    #: Those that take several values.
    lists: Mapping[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]], known: Collection[str] = (), lists: Collection[str] = ()) -> Self:
        """Read decoded query parameters, of which only `known` ones, `lists` and `expand` may occur.

        Raises StripeError.
        """
        values: dict[str, str] = {}
        several: dict[str, list[str]] = {"expand": []}
        for name, value in pairs:
            is_one_of = _LIST.fullmatch(name)
            if name not in known and not (is_one_of and is_one_of[1] in {"expand", *lists}):
                raise StripeError(400, f"Received unknown parameter: {name}", code="parameter_unknown", param=name)
            if not value:
                raise StripeError(
                    400,
                    f"You passed an empty string for '{name}'. We assume empty values are an attempt to unset a "
                    f"parameter; however '{name}' cannot be unset. You should remove '{name}' from your request or "
                    "supply a non-empty value.",
                    code="parameter_invalid_empty",
                    param=name,
                )
            if name in known:
                values[name] = value
            elif is_one_of:
                several.setdefault(is_one_of[1], []).append(value)
        return cls(values=values, expand=several.pop("expand"), lists=several)

    def boolean(self, name: str) -> bool | None:
        """True or false, or None when it was not sent."""
        value = self.values.get(name)
        if value not in {None, "true", "false"}:
            raise StripeError(400, f"Invalid boolean: {value}", param=name)
        return None if value is None else value == "true"

    def integer(self, name: str) -> int | None:
        """A whole number, or None when it was not sent."""
        value = self.values.get(name)
        if value is None:
            return None
        if not _INTEGER.fullmatch(value):
            raise StripeError(400, f"Invalid integer: {value}", code="parameter_invalid_integer", param=name)
        return int(value)

    def limit(self) -> int:
        """The size of a page, 1 to 100 as documented, 10 unless asked.

        api.stripe.com is more lenient than its documentation: it takes 0 for 1 and 1000 for 100. A program that
        counts on getting what it asked for is wrong there, and should learn it here.
        """
        limit = self.integer("limit")
        if limit is None:
            return 10
        if limit < 1:
            bound = "greater than or equal to 1"
        elif limit > 100:
            bound = "less than or equal to 100"
        else:
            return limit
        raise StripeError(400, f"This value must be {bound}.", code="parameter_invalid_integer", param="limit")
