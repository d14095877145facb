"""The Pub/Sub topic: one direct publish per event, without the client's batching delay."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import grpc
from google.cloud.pubsub_v1 import PublisherClient
from google.pubsub_v1 import types

from functions.clock import Clock
from functions.errors import Retry

_Message = types.PubsubMessage.pb()
_Request = types.PublishRequest.pb()
_Response = types.PublishResponse.pb()

#: Answers after which the same publish may succeed at once; after any other, Stripe's own retry is the next chance.
_TRANSIENT = frozenset(
    {
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.UNKNOWN,
    }
)
_FIRST_PAUSE_SECONDS = 0.1


class PubSubTopic:
    """`functions.webhook.Publisher` on the official client's channel.

    The client knows the address, the credentials and the emulator; the call itself goes through its channel and not
    through its batching or its wrappers, which cost more than verifying the event: see
    docs/decisions/0005-direct-publish.md.
    """

    def __init__(self, connect: Callable[[], PublisherClient], project: str, topic: str, clock: Clock) -> None:
        """Nothing is connected yet: gunicorn loads the functions before it forks, and gRPC does not survive a fork."""
        self._connect = connect
        self._topic = PublisherClient.topic_path(project, topic)
        self._clock = clock
        # Google's front end routes by this header; the client's own wrapper sets the same.
        self._metadata = (("x-goog-request-params", f"topic={self._topic}"),)

    @cached_property
    def _publish(self) -> "grpc.UnaryUnaryMultiCallable[Any, Any]":
        channel: grpc.Channel = self._connect().transport.grpc_channel
        return channel.unary_unary(
            "/google.pubsub.v1.Publisher/Publish",
            request_serializer=_Request.SerializeToString,
            response_deserializer=_Response.FromString,
        )

    def publish(self, data: bytes, attributes: Mapping[str, str], deadline_seconds: float) -> None:
        """Publish one message and return when it is acknowledged. Raises Retry if that fails within the deadline."""
        request = _Request(topic=self._topic, messages=[_Message(data=data, attributes=attributes)])
        deadline = self._clock.now() + deadline_seconds
        pause = _FIRST_PAUSE_SECONDS
        remaining = deadline_seconds
        while True:
            try:
                self._publish(request, timeout=remaining, metadata=self._metadata)
            except grpc.RpcError as error:
                remaining = deadline - self._clock.now() - pause
                if error.code() not in _TRANSIENT or remaining <= 0:
                    raise Retry(f"Pub/Sub answered {error.code().name}") from error
            else:
                return
            self._clock.sleep(pause)
            pause *= 2
