"""Between Flask, which functions-framework brings, and a page's own request and response."""

from collections.abc import Callable

from flask import Request as FlaskRequest
from flask import Response as FlaskResponse

from functions.pages.http import Request, Response


def serve(answer: Callable[[Request], Response], request: FlaskRequest) -> FlaskResponse:
    """Answer one Flask request."""
    response = answer(Request(request.method, request.headers, request.args.to_dict(), request.stream))
    # functions-framework reads the rest of any request body into memory before it answers, unless the response is a
    # stream: which is why the answer to a body that nobody read is one.
    is_left = not response.body_was_read and (request.content_length or "Transfer-Encoding" in request.headers)
    body = iter([response.body]) if is_left else response.body
    return FlaskResponse(body, response.status, dict(response.headers), mimetype=response.mimetype)
