"""Between Flask, which functions-framework brings, and the webhook's own request and response."""

from collections.abc import Callable

from flask import Request as FlaskRequest
from flask import Response as FlaskResponse

from functions.webhook import Request, Response

#: Stripe reads an answer and keeps it; whoever else gets one is to make nothing of it.
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def serve(receive: Callable[[Request], Response], request: FlaskRequest) -> FlaskResponse:
    """Answer one Flask request."""
    response = receive(Request(request.method, request.headers, request.stream))
    line = response.body + "\n"
    # functions-framework reads the rest of any request body into memory before it answers, unless the response is a
    # stream: which is why a refusal of a body that is too large is one.
    body = line if response.body_was_read else iter([line])
    return FlaskResponse(body, response.status, {**_HEADERS, **response.headers}, mimetype="text/plain")
