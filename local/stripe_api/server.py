"""StripeApi: the local Stripe API as a running server, with its control as methods."""

import threading
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from local.stripe_api.app import create_app
from local.stripe_api.customer_sessions import CustomerSessions
from local.stripe_api.faults import Faults
from local.stripe_api.journal import Journal, RecordedRequest
from local.stripe_api.store import Store


class StripeApi:
    """A server on 127.0.0.1, a thread per request.

    Objects, faults and the record of requests belong to this instance and survive stop() and start().
    """

    def __init__(self, *, port: int = 0) -> None:
        """Nothing listens before start(). Port 0 takes a free one, and the same again after stop()."""
        self._port = port
        self._store = Store()
        self._faults = Faults()
        self._journal = Journal()
        self._customer_sessions = CustomerSessions()
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Listen. Returns once requests are accepted; does nothing if they already are."""
        if self._server is None:
            app = create_app(self._store, self._faults, self._journal, self._customer_sessions)
            self._server = make_server("127.0.0.1", self._port, app, threaded=True, request_handler=_QuietHandler)
            self._port = self._server.server_port
            # Looking for stop() more often than the default twice a second keeps tests fast.
            self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
            self._thread.start()
        return self

    def stop(self) -> None:
        """Stop listening. Requests that are being answered are not waited for."""
        if self._server and self._thread:
            self._server.shutdown()
            self._thread.join()
        self._server = self._thread = None

    def __enter__(self) -> Self:
        """start()."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """stop()."""
        self.stop()

    @property
    def url(self) -> str:
        """For `stripe.StripeClient(key, base_addresses={"api": url})`. Raises RuntimeError before the first start."""
        if not self._port:
            raise RuntimeError("the local Stripe API has no port before it is started")
        return f"http://127.0.0.1:{self._port}"

    def put(self, objects: Iterable[Mapping[str, Any]]) -> None:
        """Store Stripe objects, each replacing the one with its id.

        A checkout.session may bring all its `line_items`; without, it keeps those it has. Raises errors.Unacceptable,
        a ValueError, and stores none, if one of them is not a Stripe object.
        """
        self._store.put(objects)

    def set_faults(self, faults: Iterable[Mapping[str, Any]]) -> None:
        """Replace all faults; `[]` heals. faults.Fault says what one consists of.

        Raises errors.Unacceptable, a ValueError, and changes nothing, if one of them makes no sense.
        """
        self._faults.set(faults)

    def requests(self) -> list[RecordedRequest]:
        """Every request so far, oldest first."""
        return self._journal.requests()

    def customer_sessions(self) -> list[dict[str, Any]]:
        """Every customer session so far, oldest first: whom a `client_secret` is of."""
        return self._customer_sessions.all()

    def forget_requests(self) -> None:
        """Begin counting anew."""
        self._journal.clear()

    def clear(self) -> None:
        """Back to the beginning: no objects, no faults, no requests, no customer sessions."""
        self._store.clear()
        self._customer_sessions.clear()
        self._faults.set([])
        self._journal.clear()


class _QuietHandler(WSGIRequestHandler):
    """Without an access log. Errors inside the server still go to stderr."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass
