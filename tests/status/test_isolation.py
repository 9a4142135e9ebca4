"""Users see their own status and nothing of anybody else's, however requests are mixed."""

from __future__ import annotations

from pathlib import Path

from status.isolation import Ask, Seen, amount_of, get, look, mixed_requests, name_of

REQUESTS = 5_000


def test_no_foreign_byte(tmp_path: Path) -> None:
    """Of thousands of mixed requests, none is answered with anything of somebody who was not asked for."""
    seen = mixed_requests(tmp_path, REQUESTS, users=200)
    assert seen.foreign == []
    assert seen.requests >= REQUESTS
    assert set(seen.statuses) == {200, 400, 401, 403}


def body_of(*numbers: int) -> str:
    """Return what tells of users."""
    return "".join(
        f'{{"user_id":"{name_of(number)}","measures":{{"payments":1,"total":{amount_of(number)}}}}}'
        for number in numbers
    )


def test_a_foreign_byte_would_be_seen() -> None:
    """The check finds another user's id, another's figures, figures where none are due, and another answer."""
    asked = get("/v1/me/status", "Bearer x", 200, 7)
    cases: list[tuple[Ask, int, str, int]] = [
        (asked, 200, body_of(7), 0),
        (asked, 200, body_of(8), 1),
        (asked, 200, body_of(7).replace(str(amount_of(7)), str(amount_of(8))), 1),
        (asked, 200, body_of(7, 8), 1),
        (asked, 200, body_of(7).replace(str(amount_of(7)), "0"), 1),
        (asked, 401, "", 1),
        (Ask(b"", 200, (7, 8)), 200, body_of(7, 8), 0),
        (Ask(b"", 200, (7, 8)), 200, body_of(8, 7), 1),
        (get("/v1/users/x/status", "Bearer x", 403, 7), 403, "", 0),
        (get("/v1/users/x/status", "Bearer x", 403, 7), 403, body_of(7), 1),
    ]
    for case, status, body, foreign in cases:
        seen = Seen()
        look(case, status, body, seen)
        assert len(seen.foreign) == foreign, (case, status, body)
