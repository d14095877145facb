"""The settings of whoever runs an operation by hand: the environment, and a file `.env` for what it does not say."""

import os
from collections.abc import Mapping
from importlib.util import find_spec


def environment() -> Mapping[str, str]:
    """The environment, and what it does not say of the `.env` here, where python-dotenv is installed."""
    if find_spec("dotenv") is None:
        return os.environ
    from dotenv import dotenv_values  # noqa: PLC0415 -- it may not be there

    return {**{name: value for name, value in dotenv_values(".env").items() if value}, **os.environ}
