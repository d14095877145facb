"""Every function of the topology in one process, each behind its own path, built from the real `main.py`.

gunicorn serves it with threads, as functions-framework's own server does in the cloud:
`gunicorn --threads 32 "local.functions_server:application()"`. A function whose settings are wrong stops it here,
as it stops a deployment.
"""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import functions_framework
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from functions.errors import SettingsError
from functions.topology import FUNCTIONS

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_MAIN = Path(__file__).resolve().parent.parent / "main.py"


def application() -> DispatcherMiddleware:
    """`/stripe_webhook`, `/index_customers`, …; and at `/` the word that everything is there."""
    try:
        apps = {f"/{row.name}": functions_framework.create_app(row.name, str(_MAIN)) for row in FUNCTIONS}
    except SettingsError as problem:
        # What to do, and not a traceback of how it was found. 3 tells gunicorn not to try again.
        print(f"A function does not start: {problem}", file=sys.stderr)
        sys.exit(3)
    return DispatcherMiddleware(_ready, {path: _at_its_root(app) for path, app in apps.items()})


def _at_its_root(app: Wsgi) -> Wsgi:
    """Serves `/stripe_webhook` as the cloud serves it: the mounted app would redirect it to `/stripe_webhook/`."""
    return lambda environ, start_response: app(environ | {"PATH_INFO": environ["PATH_INFO"] or "/"}, start_response)


def _ready(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"every function is there\n"]
