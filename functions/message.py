"""One Pub/Sub message as a push delivers it: `data` (base64), `attributes`, `messageId`."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from functions.errors import Malformed


def attributes_of(message: Mapping[str, Any]) -> Mapping[str, str]:
    """The attributes; the push leaves them out where there are none."""
    found: Mapping[str, str] = message.get("attributes") or {}
    return found


def body_of(message: Mapping[str, Any]) -> bytes:
    """The bytes that were published. Raises Malformed."""
    try:
        return base64.b64decode(message.get("data") or "", validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise Malformed("the message's data is not base64") from error
