"""Pub/Sub's subscription filters, in the few bytes that they may have."""

#: Google refuses longer filters: https://cloud.google.com/pubsub/docs/subscription-message-filter#filtering_syntax
MAX_FILTER_BYTES = 256


def message_filter(event_types: tuple[str, ...]) -> str:
    """An expression of at most MAX_FILTER_BYTES that passes all of these types.

    Exact where that fits; else families of types (`checkout.session.`) are passed by their prefix, the largest
    family first. What passes beyond the types is acknowledged by the function without any work.
    """
    if not event_types:
        raise ValueError("no event types: the empty filter would pass everything")
    exact, prefixes = list(event_types), list[str]()
    while len(expression := _expression(exact, prefixes).encode()) > MAX_FILTER_BYTES:
        families = {t[: t.rindex(".") + 1] for t in exact}
        if not families:
            raise ValueError(f"no Pub/Sub filter of {MAX_FILTER_BYTES} bytes passes {event_types}")
        largest = max(sorted(families), key=lambda family: sum(len(t) for t in exact if t.startswith(family)))
        prefixes.append(largest)
        exact = [t for t in exact if not t.startswith(largest)]
    return expression.decode()


def _expression(exact: list[str], prefixes: list[str]) -> str:
    terms = [f'hasPrefix(attributes.type, "{prefix}")' for prefix in prefixes]
    return " OR ".join(terms + [f'attributes.type = "{t}"' for t in exact])
