"""Stripe's errors, https://docs.stripe.com/api/errors, with the codes and messages of the real API; and one of ours."""

from typing import Any

_KINDS = {402: "card_error"}
_RATE_LIMITED = 429


class Unacceptable(ValueError):
    """What a test wants to put into the local API makes no sense. The message says which part of it and why."""


class StripeError(Exception):
    """An error answer: raised anywhere below a request, turned into JSON at its top."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
    ) -> None:
        """`headers` begin as those that go with the status."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.headers = _headers(status)

    def body(self) -> dict[str, Any]:
        """The JSON of the answer. Stripe leaves a field out rather than sending null."""
        error = {
            "code": self.code,
            "doc_url": f"https://docs.stripe.com/error-codes/{self.code.replace('_', '-')}" if self.code else None,
            "message": self.message,
            "param": self.param,
            "type": "api_error" if self.status >= 500 else _KINDS.get(self.status, "invalid_request_error"),
        }
        return {"error": {key: value for key, value in error.items() if value is not None}}


def _headers(status: int) -> dict[str, str]:
    """What the SDK's retries go by.

    Stripe's rate limit leaves it to the client, and the SDK then does not try again. A GET changes nothing and may be
    repeated, and so may the one POST there is: a customer session more does no harm, and the SDK sends a key by which
    Stripe knows the request again.
    """
    if status == _RATE_LIMITED:
        return {"Stripe-Rate-Limited-Reason": "global-rate"}
    if status == 409 or status >= 500:
        return {"Stripe-Should-Retry": "true"}
    if status == 401:
        return {"WWW-Authenticate": 'Basic realm="Stripe"'}
    return {}


def resource_missing(object_type: str, object_id: str, param: str, *, status: int = 404) -> StripeError:
    """There is no such object. 404 for an id in the path; Stripe answers 400 for one in a parameter."""
    return StripeError(status, f"No such {object_type}: '{object_id}'", code="resource_missing", param=param)


def unrecognized_url(method: str, path: str) -> StripeError:
    """A path or method that is not in the table. An empty id in an SDK call ends here, as it does at Stripe."""
    return StripeError(
        404,
        f"Unrecognized request URL ({method}: {path}). If you are trying to list objects, remove the trailing slash. "
        "If you are trying to retrieve an object, make sure you passed a valid (non-empty) identifier in your code. "
        "Please see https://stripe.com/docs or we can help at https://support.stripe.com/.",
    )


def no_key() -> StripeError:
    """No Authorization header, or one of another scheme."""
    return StripeError(
        401,
        "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer "
        "auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See https://stripe.com/docs/api#authentication for "
        "details, or we can help at https://support.stripe.com/.",
    )


def bad_key(key: str) -> StripeError:
    """A key that no Stripe account can have. Only its ends are repeated, and of a short one nothing."""
    shown = f"{key[:8]}{'*' * (len(key) - 12)}{key[-4:]}" if len(key) > 16 else "*" * len(key)
    return StripeError(401, f"Invalid API Key provided: {shown}")
