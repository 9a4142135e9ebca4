"""HTTP/1.1 messages as DynamoDB's clients and server exchange them: a head, and a body of known length."""

from __future__ import annotations

import asyncio
import json
import zlib
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

HEAD_BYTES_MAX: Final = 65_536
_CRC32: Final = "x-amz-crc32"
_REASONS: Final = {200: "OK", 400: "Bad Request", 500: "Internal Server Error"}


@dataclass(frozen=True, slots=True)
class Message:
    """A request or an answer: its first line, its headers in order, its body."""

    first_line: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        """Return a header's value, empty if there is none."""
        return next((value for header, value in self.headers if header.lower() == name), "")

    @property
    def status(self) -> int:
        """Return the status of an answer."""
        return int(self.first_line.split(" ", 2)[1])

    def with_body(self, body: bytes) -> Message:
        """Return the message with another body; its length, and its checksum if it has one, are right."""
        changed = {"content-length": str(len(body)), _CRC32: str(zlib.crc32(body))}
        headers = tuple((name, changed.get(name.lower(), value)) for name, value in self.headers)
        return Message(self.first_line, headers, body)

    def without(self, name: str) -> Message:
        """Return the message without a header."""
        headers = tuple(header for header in self.headers if header[0].lower() != name)
        return Message(self.first_line, headers, self.body)

    def encode(self) -> bytes:
        """Return the bytes on the wire."""
        head = [self.first_line, *(f"{name}: {value}" for name, value in self.headers)]
        return "\r\n".join([*head, "", ""]).encode("latin-1") + self.body


def answer(status: int, content: dict[str, Any], request_number: int) -> Message:
    """Return an answer as the service gives it."""
    body = json.dumps(content, separators=(",", ":")).encode()
    headers = (
        ("x-amzn-RequestId", str(UUID(int=request_number))),
        ("Content-Type", "application/x-amz-json-1.0"),
        (_CRC32, str(zlib.crc32(body))),
        ("Content-Length", str(len(body))),
    )
    return Message(f"HTTP/1.1 {status} {_REASONS[status]}", headers, body)


async def read_message(reader: asyncio.StreamReader) -> Message | None:
    """Return the next message of a connection, None at its end.

    Raises:
        ConnectionError: the connection ended within a message.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise ConnectionResetError("the connection ended within a head") from error
        return None
    first_line, *lines = head[:-4].decode("latin-1").split("\r\n")
    headers = tuple((name, value.strip()) for name, _, value in (line.partition(":") for line in lines))
    message = Message(first_line, headers, b"")
    try:
        if message.header("transfer-encoding").lower() == "chunked":
            body = await _chunks(reader)
            length = ("Content-Length", str(len(body)))
            plain = message.without("transfer-encoding")
            return Message(first_line, (*plain.headers, length), body)
        body = await reader.readexactly(int(message.header("content-length") or "0"))
    except asyncio.IncompleteReadError as error:
        raise ConnectionResetError("the connection ended within a body") from error
    return Message(first_line, headers, body)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        body += await reader.readexactly(size)
        await reader.readexactly(2)
        if size == 0:
            return bytes(body)
