"""A question about several users' statuses: a small JSON document, read strictly."""

from __future__ import annotations

from http import HTTPStatus

import msgspec
from starlette.requests import Request

from rung.status.ingest import media_type_of, read_body, unsupported
from rung.status.messages import JSON, USERS_MAX, UsersQuestion
from rung.status.parameters import Query, check_campaign_name, check_user_id, read_at
from rung.status.problem import Problem
from rung.status.routes import QUESTION_BYTES_MAX


async def read_question(request: Request) -> tuple[list[bytes], Query]:
    """Return the ids of the users, as UTF-8 and in order, and what is asked about each.

    Raises:
        Problem: 400, 411, 413 or 415; the detail names the place.
    """
    media_type = media_type_of(request)
    if media_type != JSON:
        raise unsupported(f"expected {JSON}", media_type)
    body = await read_body(request, QUESTION_BYTES_MAX)
    try:
        question = msgspec.json.decode(body, type=UsersQuestion)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _bad_body(str(error)) from None
    if not 0 < len(question.user_ids) <= USERS_MAX:
        raise _bad_body(f"user_ids: it has {len(question.user_ids):,} ids; ask for 1 to {USERS_MAX}")
    try:
        user_ids = [check_user_id(user_id) for user_id in question.user_ids]
        return user_ids, Query(
            None if question.at is None else read_at(question.at),
            None if question.campaign is None else check_campaign_name(question.campaign),
        )
    except UnicodeEncodeError:
        raise _bad_body("a text holds half of a character, which is not UTF-8") from None


def _bad_body(detail: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, "bad_body", f"body: {detail}.")
