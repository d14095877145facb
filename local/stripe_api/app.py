"""The HTTP of the local Stripe API: routes from the table, keys, headers, errors, and the control endpoints."""

import re
import secrets
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import MethodNotAllowed, NotFound

from local.stripe_api import endpoints
from local.stripe_api.customer_sessions import CustomerSessions
from local.stripe_api.errors import StripeError, Unacceptable, bad_key, no_key, unrecognized_url
from local.stripe_api.faults import Faults
from local.stripe_api.journal import Journal
from local.stripe_api.resources import RESOURCES
from local.stripe_api.store import Store

#: What an account is pinned to that was made when the SDK in requirements.txt came out.
DEFAULT_VERSION = "2026-10-28.endive"
_KEY = re.compile(r"[sr]k_(test|live)_[A-Za-z0-9_]+")


def create_app(store: Store, faults: Faults, journal: Journal, customer_sessions: CustomerSessions) -> Flask:
    """The WSGI application."""
    app = Flask(__name__)
    # An empty id (/v1/checkout/sessions//line_items) is an error at Stripe, not a redirect to another endpoint.
    app.url_map.merge_slashes = False

    @app.before_request
    def arrive() -> Response | None:
        if request.path.startswith("/_"):
            return None
        g.recorded = journal.add(request.method, request.path, request.args.to_dict(flat=False), dict(request.headers))
        fault = faults.take(request.path)
        if fault:
            time.sleep(fault.delay_seconds)
            if fault.cut:
                return _cut()
            if error := fault.error():
                raise error
        _authenticate()
        return None

    @app.after_request
    def answer(response: Response) -> Response:
        if "recorded" in g:
            response.headers["Request-Id"] = f"req_{secrets.token_urlsafe(12)}"
            response.headers["Stripe-Version"] = request.headers.get("Stripe-Version", DEFAULT_VERSION)
            journal.answered(g.recorded, response.status_code)
        return response

    @app.errorhandler(StripeError)
    def refuse(error: StripeError) -> tuple[dict[str, Any], int, dict[str, str]]:
        return error.body(), error.status, error.headers

    @app.errorhandler(NotFound)
    @app.errorhandler(MethodNotAllowed)
    def unrecognized(_: NotFound | MethodNotAllowed) -> tuple[dict[str, Any], int, dict[str, str]]:
        return refuse(unrecognized_url(request.method, request.path))

    _add_resources(app, store)
    _add_customer_sessions(app, store, customer_sessions)
    _add_control(app, store, faults, journal)
    return app


def _add_resources(app: Flask, store: Store) -> None:
    def get(path: str, view: Callable[..., dict[str, Any]]) -> None:
        def answer(**path_arguments: str) -> dict[str, Any]:
            return view(query=list(request.args.items(multi=True)), **path_arguments)

        app.add_url_rule(f"/v1/{path}", path, answer, methods=["GET"], provide_automatic_options=False)

    for resource in RESOURCES:
        get(f"{resource.path}/<object_id>", partial(endpoints.retrieve, store, resource))
        if resource.filters is not None:
            get(resource.path, partial(endpoints.list_objects, store, resource))
        if resource.search_fields is not None:
            get(f"{resource.path}/search", partial(endpoints.search_objects, store, resource))
        for name in resource.related:
            get(f"{resource.path}/<object_id>/{name}", partial(endpoints.list_related, store, resource, name))
        for name in resource.sublists:
            get(f"{resource.path}/<object_id>/{name}", partial(endpoints.list_sublist, store, resource, name))


def _add_customer_sessions(app: Flask, store: Store, customer_sessions: CustomerSessions) -> None:
    path = "/v1/customer_sessions"

    def create() -> dict[str, Any]:
        return customer_sessions.create(store, list(request.form.items(multi=True)))

    app.add_url_rule(path, path, create, methods=["POST"], provide_automatic_options=False)


def _add_control(app: Flask, store: Store, faults: Faults, journal: Journal) -> None:
    def control(path: str, method: str, act: Callable[[], object]) -> None:
        def view() -> tuple[Response, int]:
            try:
                return jsonify(act()), 200
            except Unacceptable as error:
                return jsonify({"error": str(error)}), 400

        app.add_url_rule(path, f"{method} {path}", view, methods=[method], provide_automatic_options=False)

    control("/_objects", "PUT", lambda: {"stored": store.put(_json_list())})
    control("/_objects", "DELETE", store.clear)
    control("/_faults", "PUT", lambda: faults.set(_json_list()))
    control("/_faults", "DELETE", lambda: faults.set([]))
    control("/_requests", "GET", journal.requests)
    control("/_requests", "DELETE", journal.clear)


def _json_list() -> list[Any]:
    body = request.get_json(force=True, silent=True)
    if not isinstance(body, list):
        raise Unacceptable("the body is not a JSON list")
    return body


def _authenticate() -> None:
    """Keys are `Bearer sk_…`, or the user name of Basic, as in `curl -u sk_…:`. Any that looks like one will do."""
    given = request.authorization
    key = given and {"bearer": given.token, "basic": given.parameters.get("username")}.get(given.type)
    if not key:
        raise no_key()
    if not _KEY.fullmatch(key):
        raise bad_key(key)


def _cut() -> Response:
    """End the connection as a crashed server would: the client sees it close before a byte of an answer.

    The response is for Flask only; the server finds the connection gone when it writes it.
    """
    del g.recorded
    request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    return Response()
