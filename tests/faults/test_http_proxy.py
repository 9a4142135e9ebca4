"""The proxy before DynamoDB: each rule does what it says, is counted, and leaves the rest alone."""

from __future__ import annotations

import http.client
import json
import threading
import time
import zlib
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from faults.dynamo_rules import RuleName
from faults.http_proxy import DynamoProxy


class _Service(ThreadingHTTPServer):
    """Answers every request with its number, and keeps what it was sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[tuple[str, dict[str, Any]]] = []
        self._lock = threading.Lock()

    def answer(self, operation: str, body: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            self.received.append((operation, body))
            return {"number": len(self.received)}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        service = self.server
        assert isinstance(service, _Service)
        content = json.dumps(service.answer(self.headers["X-Amz-Target"].rpartition(".")[2], body)).encode()
        self.send_response(200)
        self.send_header("x-amz-crc32", str(zlib.crc32(content)))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


@dataclass
class _Answer:
    status: int
    content: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict[str, str])


class _Scene:
    """A client, the proxy and the service behind it."""

    def __init__(self, service: _Service, proxy: DynamoProxy) -> None:
        self.service = service
        self.proxy = proxy
        self.connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=5)

    def call(self, operation: str, body: dict[str, Any] | None = None) -> _Answer:
        headers = {"X-Amz-Target": f"DynamoDB_20120810.{operation}", "Accept-Encoding": "gzip"}
        self.connection.request("POST", "/", json.dumps(body or {}), headers)
        reply = self.connection.getresponse()
        content = reply.read()
        answered = {name.lower(): value for name, value in reply.getheaders()}
        assert answered["x-amz-crc32"] == str(zlib.crc32(content))
        return _Answer(reply.status, json.loads(content), answered)


@pytest.fixture
def scene() -> Generator[_Scene]:
    """Return a client, a proxy with no rule in force, and a service."""
    with _Service() as service:
        thread = threading.Thread(target=service.serve_forever, args=[0.01])
        thread.start()
        with DynamoProxy(f"http://127.0.0.1:{service.server_port}", seed=3) as proxy:
            scene = _Scene(service, proxy)
            yield scene
            scene.connection.close()
        service.shutdown()
        thread.join()


def test_it_is_transparent(scene: _Scene) -> None:
    """Without a rule a request and its answer pass unchanged, and are in the log."""
    body = {"TableName": "t", "Key": {"k": {"S": "é"}}}
    assert scene.call("GetItem", body).content == {"number": 1}
    assert scene.call("UpdateItem", {"UpdateExpression": "SET a = :a add b :b"}).content == {"number": 2}
    assert scene.service.received[0] == ("GetItem", body)
    assert [(one.operation, one.is_write, one.adds) for one in scene.proxy.requests] == [
        ("GetItem", False, False),
        ("UpdateItem", True, True),
    ]
    assert (scene.proxy.forwarded(), scene.proxy.forwarded("GetItem")) == (2, 1)


def test_it_is_fast(scene: _Scene) -> None:
    """It is no brake, with clients in its own process even: 2,000 refusals on 4 connections in 4 seconds."""
    scene.proxy.set("throttle")

    def call_often(one: _Scene) -> None:
        for _ in range(500):
            one.call("PutItem")

    scenes = [_Scene(scene.service, scene.proxy) for _ in range(4)]
    started = time.perf_counter()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(call_often, scenes))
    took_seconds = time.perf_counter() - started
    for one in scenes:
        one.connection.close()
    assert scene.proxy.struck("throttle") == 2_000
    assert took_seconds < 4


@pytest.mark.parametrize(("rule", "forwarded"), [("drop_before", 0), ("drop_after", 1)])
def test_dropped(scene: _Scene, rule: RuleName, forwarded: int) -> None:
    """A dropped request ends the connection, before or after it was done; the next one is fine."""
    scene.proxy.set(rule, times=1)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        scene.call("PutItem")
    assert (len(scene.service.received), scene.proxy.struck(rule)) == (forwarded, 1)
    scene.connection.close()
    assert scene.call("PutItem").content == {"number": forwarded + 1}


def test_delay(scene: _Scene) -> None:
    """A delayed request waits, and is done."""
    scene.proxy.set("delay", seconds=0.2)
    started = time.perf_counter()
    assert scene.call("PutItem").status == 200
    assert time.perf_counter() - started >= 0.2
    assert scene.proxy.struck("delay", "PutItem") == 1


def test_blackhole(scene: _Scene) -> None:
    """A request in the black hole is read and never answered, nor done."""
    scene.proxy.set("blackhole")
    scene.connection.timeout = 0.2
    with pytest.raises(TimeoutError):
        scene.call("PutItem")
    assert (scene.proxy.struck("blackhole"), scene.service.received) == (1, [])


def test_duplicate(scene: _Scene) -> None:
    """A write is done twice, and answered as one of the two; a read is done once."""
    scene.proxy.set("duplicate")
    answered = {scene.call("PutItem", {"n": number}).content["number"] - 2 * number for number in range(20)}
    assert answered == {1, 2}
    assert [body["n"] for _, body in scene.service.received] == [n for n in range(20) for _ in range(2)]
    scene.call("GetItem")
    assert (scene.proxy.forwarded("PutItem"), scene.proxy.forwarded("GetItem")) == (40, 1)


def test_throttle(scene: _Scene) -> None:
    """Throttling is said in both ways that the service has, and nothing is done."""
    scene.proxy.set("throttle")
    answers = [scene.call("PutItem") for _ in range(20)]
    assert {one.status for one in answers} == {400}
    assert {one.content["__type"].partition("#")[2] for one in answers} == {
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
    }
    assert all(one.headers["x-amzn-requestid"] for one in answers)
    assert scene.service.received == []


def test_transaction_conflict(scene: _Scene) -> None:
    """A cancelled transaction has a reason for each item, at least one of them real; nothing is done."""
    scene.proxy.set("transaction_conflict")
    codes: set[str] = set()
    for _ in range(20):
        reply = scene.call("TransactWriteItems", {"TransactItems": [{}, {}, {}]})
        assert reply.status == 400
        assert reply.content["__type"].endswith("#TransactionCanceledException")
        reasons = [reason["Code"] for reason in reply.content["CancellationReasons"]]
        assert len(reasons) == 3
        assert set(reasons) != {"None"}
        assert f"[{', '.join(reasons)}]" in reply.content["Message"]
        codes |= set(reasons)
    assert codes == {"None", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
    assert scene.service.received == []
    assert scene.call("PutItem").status == 200


def test_server_error(scene: _Scene) -> None:
    """A failing server answers 500, and does nothing."""
    scene.proxy.set("server_error")
    reply = scene.call("PutItem")
    assert (reply.status, reply.content["__type"].partition("#")[2]) == (500, "InternalServerError")
    assert scene.service.received == []


def test_unprocessed_keys(scene: _Scene) -> None:
    """Half of the keys are asked for, the others come back with what belongs to their table; one key is not split."""
    scene.proxy.set("unprocessed")
    asked = {"one": {"Keys": [1, 2], "ConsistentRead": True}, "two": {"Keys": [3]}}
    content = scene.call("BatchGetItem", {"RequestItems": asked}).content
    assert scene.service.received == [
        ("BatchGetItem", {"RequestItems": {"one": {"Keys": [1, 2], "ConsistentRead": True}}})
    ]
    assert content == {"number": 1, "UnprocessedKeys": {"two": {"Keys": [3]}}}
    assert (
        "UnprocessedKeys" not in scene.call("BatchGetItem", {"RequestItems": {"two": {"Keys": [3]}}}).content
    )
    assert scene.proxy.struck("unprocessed") == 1


def test_unprocessed_items(scene: _Scene) -> None:
    """Half of the writes of a batch are done, the others come back."""
    scene.proxy.set("unprocessed")
    content = scene.call("BatchWriteItem", {"RequestItems": {"one": [1, 2, 3]}}).content
    assert scene.service.received == [("BatchWriteItem", {"RequestItems": {"one": [1, 2]}})]
    assert content["UnprocessedItems"] == {"one": [3]}


def test_stale(scene: _Scene) -> None:
    """A read gets the answer that the same read got before, unless it asks for a consistent one."""
    read, consistent = {"Key": 1}, {"Key": 1, "ConsistentRead": True}
    assert [scene.call("GetItem", body).content["number"] for body in (read, consistent)] == [1, 2]
    scene.proxy.set("stale")
    assert [scene.call("GetItem", body).content["number"] for body in (read, consistent)] == [1, 4]
    assert scene.call("GetItem", {"Key": 2}).content["number"] == 5
    assert scene.proxy.struck("stale") == 1
    scene.proxy.clear("stale")
    assert scene.call("GetItem", read).content["number"] == 6


def test_strip_token(scene: _Scene) -> None:
    """A transaction comes with a token that the service has never seen; one without a token stays so."""
    scene.proxy.set("strip_token")
    for body in ({"ClientRequestToken": "a"}, {"ClientRequestToken": "a"}, {}):
        scene.call("TransactWriteItems", body)
    tokens = [body.get("ClientRequestToken") for _, body in scene.service.received]
    assert len({"a", *tokens}) == 4
    assert tokens[2] is None
    assert scene.proxy.struck("strip_token") == 2


def test_share_and_filter(scene: _Scene) -> None:
    """A rule strikes its share of the operations that it names, as the seed has it, and no others."""
    scene.proxy.set("server_error", 0.3, operations=["PutItem"])
    statuses = [scene.call(operation).status for operation in ("PutItem", "GetItem") * 100]
    assert 20 <= statuses[::2].count(500) <= 40
    assert set(statuses[1::2]) == {200}
    with DynamoProxy(f"http://127.0.0.1:{scene.service.server_port}", seed=3) as again:
        again.set("server_error", 0.3, operations=["PutItem"])
        other = _Scene(scene.service, again)
        assert [other.call(operation).status for operation in ("PutItem", "GetItem") * 100] == statuses
        other.connection.close()


@pytest.mark.parametrize(
    ("name", "share", "message"),
    [("no_rule", 1.0, "there is no rule 'no_rule'"), ("delay", 1.5, "a share is 0 to 1, not 1.5")],
)
def test_a_rule_that_cannot_be(scene: _Scene, name: Any, share: float, message: str) -> None:
    """A rule that does not exist, or a share beyond all, is refused."""
    with pytest.raises(ValueError, match=message):
        scene.proxy.set(name, share)


def test_a_service_that_is_down() -> None:
    """While the service is down, a request breaks the connection, and is counted."""
    with _Service() as service:
        port = service.server_port
    with DynamoProxy(f"http://127.0.0.1:{port}") as proxy:
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=5)
        connection.request("POST", "/", "{}", {"X-Amz-Target": "DynamoDB_20120810.PutItem"})
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            connection.getresponse()
        connection.close()
        assert proxy.lost_upstream == 1
