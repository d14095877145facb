"""`python -m local.auth_emulator install`: installs the emulator, so that whatever starts it need not wait."""

import os
import sys

from local.auth_emulator import install
from local.processes import NotStarted


def main(arguments: list[str]) -> str | None:
    """What went wrong, if anything did."""
    if arguments != ["install"]:
        return "Usage: python -m local.auth_emulator install"
    try:
        install(os.environ)
    except NotStarted as error:
        return str(error)
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
