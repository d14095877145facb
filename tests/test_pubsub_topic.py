"""The adapter that publishes: at the emulator, where there is none, and with answers that no emulator gives."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import grpc
import pytest
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1 import types
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.adapters.clock import SystemClock
from functions.adapters.pubsub import PubSubTopic
from functions.errors import Retry
from functions.topology import TOPIC
from functions.webhook import Publisher
from local.emulators import Emulators
from local.processes import LOOPBACK, free_ports
from tests.test_webhook import MovableClock

Message = tuple[bytes, dict[str, str]]


def connect(address: str) -> PublisherClient:
    """A client of whatever stands at this address."""
    return PublisherClient(transport=PublisherGrpcTransport(channel=grpc.insecure_channel(address)))


def topic_at(address: str, project: str = "shop") -> Publisher:
    return PubSubTopic(lambda: connect(address), project, TOPIC, SystemClock())


def took(publish: Callable[[], None]) -> float:
    """Seconds until it gave up. Fails if it did not."""
    started = time.monotonic()
    with pytest.raises(Retry):
        publish()
    return time.monotonic() - started


# At the emulator


@pytest.fixture
def topic(publisher: PublisherClient, project: str) -> Publisher:
    publisher.create_topic(name=publisher.topic_path(project, TOPIC))
    return PubSubTopic(lambda: publisher, project, TOPIC, SystemClock())


@pytest.fixture
def pull(topic: Publisher, project: str) -> Iterator[Callable[[int], list[Message]]]:  # noqa: ARG001 -- the topic must exist
    """Takes so many messages out of a subscription to the topic."""
    with SubscriberClient() as client:
        subscription = client.subscription_path(project, "everything")
        client.create_subscription(name=subscription, topic=client.topic_path(project, TOPIC))

        def pull(count: int) -> list[Message]:
            messages: list[Message] = []
            while len(messages) < count:
                answer = client.pull(subscription=subscription, max_messages=count, timeout=10)
                messages += [(each.message.data, dict(each.message.attributes)) for each in answer.received_messages]
                client.acknowledge(
                    subscription=subscription, ack_ids=[each.ack_id for each in answer.received_messages]
                )
            return messages

        yield pull


words = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=255)


@settings(max_examples=60)
@given(data=st.binary(min_size=1, max_size=5_000), attributes=st.fixed_dictionaries({"event_id": words, "type": words}))
def test_data_and_attributes_arrive_unchanged(
    topic: Publisher, pull: Callable[[int], list[Message]], data: bytes, attributes: dict[str, str]
) -> None:
    topic.publish(data, attributes, 8)
    assert pull(1) == [(data, attributes)]


def test_the_largest_body_fits_into_a_message(topic: Publisher, pull: Callable[[int], list[Message]]) -> None:
    data = bytes(range(256)) * 4096
    assert len(data) == 1024 * 1024
    topic.publish(data, {"payload": "snapshot"}, 8)
    assert pull(1) == [(data, {"payload": "snapshot"})]


def test_all_threads_of_an_instance_share_one_topic(topic: Publisher, pull: Callable[[int], list[Message]]) -> None:
    messages = [(b"event %d" % number, {"event_id": f"evt_{number}"}) for number in range(200)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda message: topic.publish(message[0], message[1], 8), messages))
    assert sorted(pull(200)) == sorted(messages)


def test_a_topic_that_does_not_exist_is_said_at_once(publisher: PublisherClient, project: str) -> None:
    topic = PubSubTopic(lambda: publisher, project, "no-such-topic", SystemClock())
    with pytest.raises(Retry, match="NOT_FOUND"):
        topic.publish(b"{}", {}, 8)
    assert took(lambda: topic.publish(b"{}", {}, 8)) < 4


# Where the emulator is not


def test_a_port_where_nobody_listens_is_tried_until_shortly_before_the_deadline() -> None:
    topic = topic_at(f"{LOOPBACK}:{free_ports(1)[0]}")
    assert 0.5 < took(lambda: topic.publish(b"{}", {}, 2)) < 4


def test_a_server_that_never_answers_is_given_up_at_the_deadline() -> None:
    with socket.create_server((LOOPBACK, 0)) as deaf:
        topic = topic_at(f"{LOOPBACK}:{deaf.getsockname()[1]}")
        assert 0.9 < took(lambda: topic.publish(b"{}", {}, 1)) < 3


class Wire:
    """A TCP port before the emulator that can be cut and mended."""

    def __init__(self, emulator: str) -> None:
        self._emulator = emulator.rpartition(":")[0], int(emulator.rpartition(":")[2])
        self._port = free_ports(1)[0]
        self._listener: socket.socket | None = None
        self._ends: list[socket.socket] = []
        self.address = f"{LOOPBACK}:{self._port}"

    def mend(self) -> None:
        self._listener = socket.create_server((LOOPBACK, self._port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """Refuses connections from now on, and resets those there are."""
        for end in [*([self._listener] if self._listener else []), *self._ends]:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends.clear()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                ends = listener.accept()[0], socket.create_connection(self._emulator)
                self._ends += ends
                for source, target in (ends, ends[::-1]):
                    threading.Thread(target=self._copy, args=(source, target), daemon=True).start()

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)


@pytest.fixture
def wire(emulators: Emulators) -> Iterator[Wire]:
    wire = Wire(emulators.pubsub_host)
    yield wire
    wire.cut()


@pytest.mark.usefixtures("topic")
def test_pubsub_that_appears_again_is_found(wire: Wire, project: str, pull: Callable[[int], list[Message]]) -> None:
    topic = topic_at(wire.address, project)
    took(lambda: topic.publish(b"too early", {}, 0.5))
    wire.mend()
    topic.publish(b"in time", {}, 8)
    assert pull(1) == [(b"in time", {})]


@pytest.mark.usefixtures("topic")
def test_pubsub_that_appears_within_the_deadline_is_found(
    wire: Wire, project: str, pull: Callable[[int], list[Message]]
) -> None:
    timer = threading.Timer(0.5, wire.mend)
    timer.start()
    topic_at(wire.address, project).publish(b"event", {}, 8)
    timer.join()
    assert pull(1) == [(b"event", {})]


@pytest.mark.usefixtures("topic")
def test_a_connection_that_was_lost_is_made_anew(
    wire: Wire, project: str, pull: Callable[[int], list[Message]]
) -> None:
    wire.mend()
    topic = topic_at(wire.address, project)
    topic.publish(b"before", {}, 8)
    wire.cut()
    wire.mend()
    topic.publish(b"after", {}, 8)
    assert sorted(pull(2)) == [(b"after", {}), (b"before", {})]


# What Pub/Sub may answer

TRANSIENT = {
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.UNKNOWN,
}
FINAL = set(grpc.StatusCode) - TRANSIENT - {grpc.StatusCode.OK}


class ScriptedPubSub(grpc.GenericRpcHandler):
    """A gRPC server that answers with these codes, one call after the other, and with success once they are used up."""

    def __init__(self) -> None:
        self.codes: Sequence[grpc.StatusCode] = ()
        self.requests: list[bytes] = []
        self.metadata: list[Mapping[str, str | bytes]] = []
        self.moments: list[float] = []
        self.timeouts: list[float] = []
        self.clock = MovableClock()
        self._server = grpc.server(ThreadPoolExecutor(2), handlers=[self])
        port = self._server.add_insecure_port(f"{LOOPBACK}:0")
        self._server.start()
        self.topic = PubSubTopic(lambda: connect(f"{LOOPBACK}:{port}"), "shop", TOPIC, self.clock)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        if handler_call_details.method != "/google.pubsub.v1.Publisher/Publish":
            return None
        self.metadata.append(dict(handler_call_details.invocation_metadata))
        return grpc.unary_unary_rpc_method_handler(self._publish)

    def _publish(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.requests.append(request)
        self.moments.append(self.clock.now())
        self.timeouts.append(context.time_remaining() or 0)
        if len(self.requests) <= len(self.codes):
            context.abort(self.codes[len(self.requests) - 1], "about taro@example.com\nand more")
        return bytes(types.PublishResponse.pb()(message_ids=["1"]).SerializeToString())

    def stop(self) -> None:
        self._server.stop(None)


@pytest.fixture
def scripted() -> Iterator[ScriptedPubSub]:
    server = ScriptedPubSub()
    yield server
    server.stop()


def test_one_event_is_one_call_that_names_the_topic_for_routing(scripted: ScriptedPubSub) -> None:
    scripted.topic.publish(b"{}", {"type": "customer.created"}, 8)
    assert [types.PublishRequest.pb().FromString(request) for request in scripted.requests] == [
        types.PublishRequest.pb()(
            topic="projects/shop/topics/stripe-events",
            messages=[{"data": b"{}", "attributes": {"type": "customer.created"}}],
        )
    ]
    assert scripted.metadata[0]["x-goog-request-params"] == "topic=projects/shop/topics/stripe-events"
    assert 7 < scripted.timeouts[0] < 8.1


@pytest.mark.parametrize("code", sorted(TRANSIENT, key=str), ids=lambda code: code.name)
def test_an_answer_that_may_pass_is_tried_again(scripted: ScriptedPubSub, code: grpc.StatusCode) -> None:
    scripted.codes = [code] * 3
    scripted.topic.publish(b"{}", {"type": "customer.created"}, 8)
    assert scripted.requests == [scripted.requests[0]] * 4


@pytest.mark.parametrize("code", sorted(FINAL, key=str), ids=lambda code: code.name)
def test_an_answer_that_will_not_change_is_left_to_stripes_own_retries(
    scripted: ScriptedPubSub, code: grpc.StatusCode
) -> None:
    scripted.codes = [code] * 3
    with pytest.raises(Retry) as raised:
        scripted.topic.publish(b"{}", {}, 8)
    assert str(raised.value) == f"Pub/Sub answered {code.name}"
    assert len(scripted.requests) == 1


@pytest.mark.parametrize("deadline", [0.05, 1, 8])
def test_all_attempts_and_pauses_together_stay_within_the_deadline(scripted: ScriptedPubSub, deadline: float) -> None:
    scripted.codes = [grpc.StatusCode.UNAVAILABLE] * 1_000
    started = scripted.clock.now()
    with pytest.raises(Retry, match=r"^Pub/Sub answered UNAVAILABLE$"):
        scripted.topic.publish(b"{}", {}, deadline)
    # gRPC may tell the server a timeout up to 3 % longer, so that it can repeat a header it has sent before.
    ends = [moment + timeout for moment, timeout in zip(scripted.moments, scripted.timeouts, strict=True)]
    assert max(ends) - started <= deadline * 1.03 + 0.02
    assert scripted.clock.now() - started < deadline
    assert 1 <= len(scripted.requests) <= 20
