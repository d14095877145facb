"""Every function of the topology in one process, each behind its own path, built from the real `main.py`.

gunicorn serves it with threads, as functions-framework's own server does in the cloud:
`gunicorn --threads 32 "local.functions_server:application()"`. A function whose settings are wrong stops it here,
as it stops a deployment.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import functions_framework
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from functions.topology import FUNCTIONS

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_MAIN = Path(__file__).resolve().parent.parent / "main.py"


def application() -> DispatcherMiddleware:
    """`/stripe_webhook`, `/index_customers`, …; and at `/` the word that everything is there."""
    return DispatcherMiddleware(
        _ready, {f"/{row.name}": functions_framework.create_app(row.name, str(_MAIN)) for row in FUNCTIONS}
    )


def _ready(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"every function is there\n"]
