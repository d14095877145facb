"""`python -m local.stripe_api --port N`: the local Stripe API on its own, until interrupted."""

import argparse
import threading

from local.stripe_api.server import StripeApi


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m local.stripe_api", description="The local Stripe API.")
    parser.add_argument("--port", type=int, default=0, help="a free one when left out")
    with StripeApi(port=parser.parse_args().port) as api:
        print(api.url, flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
