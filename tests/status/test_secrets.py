"""What a server writes about itself holds no secret, whatever is sent to it."""

from __future__ import annotations

import http.client
from pathlib import Path

from callers import AUDIENCE, ISSUER, KEY, key_of, key_set, put_key, raw_token, token
from cli.command import SPEC, start
from rung.access.permissions import Scope
from rung.adapters import open_home, opened_store
from rung.cli.main import run
from rung.store.port import BoundLog

PASSWORD = "planted-sasl-password"
OTHER_KEY = key_of(77, *Scope)[1]
SETTINGS = f"""\
[log]
kind = "kafka"
[kafka]
bootstrap_servers = "127.0.0.1:9"
delivery_timeout_seconds = 1
[kafka.client]
security.protocol = "SASL_PLAINTEXT"
sasl.mechanism = "PLAIN"
sasl.username = "rung"
sasl.password = "{PASSWORD}"
[api.tokens]
issuer = "{ISSUER}"
audience = "{AUDIENCE}"
jwks = "jwks.json"
"""
GOOD = token("planted-user", exp=4_000_000_000)
EXPIRED, FORGED = token("ann", exp=1), token("ann", "ES256", "mallory")
UNSIGNED = raw_token({"alg": "none", "kid": "ES256-one"}, {"sub": "ann"})
SECRETS = (PASSWORD, KEY, OTHER_KEY, GOOD, EXPIRED, FORGED, UNSIGNED, "planted-query")

ASKED = (
    ("GET", "/v1/me/status"),
    ("GET", "/v1/users/planted-user/status?at=planted-query"),
    ("GET", "/none?planted-query"),
)


def test_no_secret_is_written(tmp_path: Path) -> None:
    """Keys, tokens, passwords and queries are in nothing that the server writes, though much goes wrong."""
    home, spec = tmp_path / "home", tmp_path / "small.yaml"
    spec.write_text(SPEC, encoding="utf-8")
    assert run(["--home", str(home), "init"]) == 0
    assert run(["--home", str(home), "campaign", "apply", str(spec)]) == 0
    with opened_store(open_home(home)) as store:
        store.bind(BoundLog("one", 4))
    (home / "rung.toml").write_text(SETTINGS, encoding="utf-8")
    (home / "jwks.json").write_bytes(key_set())
    put_key(home)
    statuses: list[int] = []
    with start("--home", home, "serve", "--port", "0") as process:
        try:
            assert process.stderr is not None
            said = line = ""
            while "Status page: http" not in line:
                line = process.stderr.readline()
                said += line
                assert line, said
            port = int(line.rpartition(":")[2].strip().strip("/"))
            for secret in (OTHER_KEY, GOOD, EXPIRED, FORGED, UNSIGNED, f"{KEY}x", f"{GOOD}x", KEY):
                for method, path in ASKED:
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                    headers = {"authorization": f"Bearer {secret}"}
                    connection.request(method, path, headers=headers)
                    answer = connection.getresponse()
                    text = answer.read().decode()
                    statuses.append(answer.status)
                    assert all(planted not in text for planted in SECRETS[:-1]), text
                    connection.close()
            process.terminate()
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    said += out + err
    assert {200, 401, 403, 404} <= set(statuses)
    assert "credentials_refused" in said
    assert "log_unavailable" in said
    for secret in SECRETS:
        # A short part may stand anywhere by chance.
        parts = {secret, *(part for part in (*secret.split("."), *secret.split("_")) if len(part) > 20)}
        assert not [part for part in parts if part in said]
