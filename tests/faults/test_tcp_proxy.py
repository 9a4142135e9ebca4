"""The TCP proxy: each fault happens, shows to the client, is counted, and ends."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Generator
from contextlib import suppress

import pytest

from faults.tcp_proxy import TcpProxy


def _echo(listener: socket.socket) -> None:
    def serve(connection: socket.socket) -> None:
        with connection, suppress(ConnectionError):
            while data := connection.recv(1 << 18):
                connection.sendall(data)

    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=serve, args=[connection], daemon=True).start()


@pytest.fixture
def proxy() -> Generator[TcpProxy]:
    """Return a proxy before a server that sends back what it gets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_echo, args=[listener], daemon=True).start()
        with TcpProxy("127.0.0.1", listener.getsockname()[1], seed=1) as proxy:
            yield proxy
        listener.shutdown(socket.SHUT_RDWR)


def _connected(proxy: TcpProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def _received(connection: socket.socket, length: int) -> bytes:
    received = b""
    while len(received) < length:
        data = connection.recv(length - len(received))
        assert data, "the stream ended"
        received += data
    return received


def test_it_is_transparent(proxy: TcpProxy) -> None:
    """Without faults everything passes both ways, the end of a stream too."""
    content = bytes(range(256)) * 4_096
    with _connected(proxy) as connection:
        sender = threading.Thread(target=connection.sendall, args=[content])
        sender.start()
        assert _received(connection, len(content)) == content
        sender.join()
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    assert (proxy.counts.connections, proxy.counts.passed_bytes) == (1, 2 * len(content))


def test_it_is_fast(proxy: TcpProxy) -> None:
    """It carries 50 MB/s and more: 64 MiB there and back again take less than two seconds."""
    content = bytes(1 << 20)
    with _connected(proxy) as connection:
        sender = threading.Thread(target=lambda: [connection.sendall(content) for _ in range(64)])
        started = time.perf_counter()
        sender.start()
        left = 64 << 20
        while left:
            left -= len(connection.recv(1 << 20))
        sender.join()
    assert time.perf_counter() - started < 2 * 64 / 50


def test_delay(proxy: TcpProxy) -> None:
    """A delay holds both ways, keeps the order, and is over when it is healed."""
    with _connected(proxy) as connection:
        proxy.delay(0.05, 0.1)
        started = time.perf_counter()
        for number in range(10):
            connection.sendall(b"%d" % number)
            time.sleep(0.001)
        assert _received(connection, 10) == b"0123456789"
        assert time.perf_counter() - started >= 0.1
        assert proxy.counts.delayed_bytes == 20
        proxy.delay(60)
        connection.sendall(b"x")
        while proxy.counts.delayed_bytes == 20:
            time.sleep(0.001)
        proxy.heal()
        assert _received(connection, 1) == b"x"


def test_hold(proxy: TcpProxy) -> None:
    """A held connection is open and silent, a new one is accepted, and both go on after it."""
    with _connected(proxy) as connection:
        connection.sendall(b"a")
        assert _received(connection, 1) == b"a"
        proxy.hold()
        with _connected(proxy) as late:
            for held in (connection, late):
                held.sendall(b"b")
                held.settimeout(0.1)
                with pytest.raises(TimeoutError):
                    held.recv(1)
                held.settimeout(5)
            assert proxy.counts.held == 2
            proxy.heal()
            assert [_received(held, 1) for held in (connection, late)] == [b"b", b"b"]


def test_reset(proxy: TcpProxy) -> None:
    """A reset connection ends with an error, not with the end of the stream; a new one works."""
    with _connected(proxy) as connection:
        connection.sendall(b"a")
        assert _received(connection, 1) == b"a"
        assert proxy.reset_all() == 1
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    assert proxy.counts.resets == 1
    with _connected(proxy) as connection:
        connection.sendall(b"a")
        assert _received(connection, 1) == b"a"


def _received_until_reset(connection: socket.socket) -> int:
    """Read until the connection is reset, and return how many bytes came."""
    received = 0
    try:
        while data := connection.recv(4_096):
            received += len(data)
    except ConnectionResetError:
        return received
    raise AssertionError("the connection ended without a reset")


@pytest.mark.parametrize("cut_bytes", [100, 1_500])
def test_cut(proxy: TcpProxy, cut_bytes: int) -> None:
    """A connection is reset in the midst of what is sent: after the bytes that were allowed, and no later."""
    proxy.cut(cut_bytes)
    with _connected(proxy) as connection:
        connection.sendall(bytes(1_000))
        received = _received_until_reset(connection)
        assert received == max(0, cut_bytes - 1_000)
    assert (proxy.counts.cuts, proxy.counts.passed_bytes) == (1, cut_bytes)


def test_refuse(proxy: TcpProxy) -> None:
    """While it refuses, there is nobody to connect to; what is connected goes on; then it is there again."""
    with _connected(proxy) as connection:
        connection.sendall(b"a")
        assert _received(connection, 1) == b"a"
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            _connected(proxy)
        connection.sendall(b"b")
        assert _received(connection, 1) == b"b"
        port = proxy.port
        proxy.heal()
        assert proxy.port == port
        _connected(proxy).close()


def test_no_server() -> None:
    """A client of a server that is down is reset, and counted."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with TcpProxy("127.0.0.1", port) as proxy:
        with pytest.raises(ConnectionResetError), _connected(proxy) as connection:
            connection.recv(1)
        assert proxy.counts.unreachable == 1


def test_the_seed_decides() -> None:
    """The same seed draws the same cuts."""
    drawn: list[int] = []
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            threading.Thread(target=_echo, args=[listener], daemon=True).start()
            with TcpProxy("127.0.0.1", listener.getsockname()[1], seed=7) as proxy:
                proxy.cut(1, 1_000)
                with _connected(proxy) as connection:
                    connection.sendall(bytes(1_000))
                    _received_until_reset(connection)
                drawn.append(proxy.counts.passed_bytes)
            listener.shutdown(socket.SHUT_RDWR)
    assert drawn[0] == drawn[1]
