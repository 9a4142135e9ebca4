"""The emulator: it starts on loopback, keeps its tables through a crash, or keeps nothing when told so."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

from listening import only_on_loopback
from servers.dynamodb import ACCESS_KEY, DynamoDbLocal

KEY = {"k": {"S": "a"}}
TABLE = {
    "TableName": "kept",
    "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}


def _call(local: DynamoDbLocal, operation: str, body: dict[str, Any]) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", local.port, timeout=10)
    headers = {
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Target": f"DynamoDB_20120810.{operation}",
        "Authorization": f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20200101/eu-central-1/dynamodb/aws4_request, "
        "SignedHeaders=host, Signature=0",
    }
    try:
        connection.request("POST", "/", json.dumps(body), headers)
        reply = connection.getresponse()
        content: dict[str, Any] = json.loads(reply.read())
    finally:
        connection.close()
    assert reply.status == 200, content
    return content


def test_a_crash_loses_nothing(tmp_path: Path) -> None:
    """After SIGKILL the emulator starts again at its port, with its tables and items; it is on loopback only."""
    with DynamoDbLocal.start(tmp_path) as local:
        assert local.endpoint == f"http://127.0.0.1:{local.port}"
        assert only_on_loopback(local.port)
        _call(local, "CreateTable", TABLE)
        _call(local, "PutItem", {"TableName": "kept", "Item": KEY})
        endpoint = local.endpoint
        local.kill()
        local.restart()
        assert local.endpoint == endpoint
        assert _call(local, "GetItem", {"TableName": "kept", "Key": KEY})["Item"] == KEY
        assert list(local.data_folder.iterdir())
        assert local.stop()


def test_in_memory(tmp_path: Path) -> None:
    """In memory nothing is written, and a restart forgets everything."""
    with DynamoDbLocal.start(tmp_path, in_memory=True) as local:
        _call(local, "CreateTable", TABLE)
        assert _call(local, "ListTables", {}) == {"TableNames": ["kept"]}
        local.restart()
        assert _call(local, "ListTables", {}) == {"TableNames": []}
        assert list(local.data_folder.iterdir()) == []
