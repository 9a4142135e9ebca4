"""Why an event is not applied: the reason codes of the quarantine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class Explained(StrEnum):
    """Codes, each with the sentence that explains it as `X.sentence`."""

    sentence: str

    def __new__(cls, code: str, sentence: str) -> Self:
        """Make the member that equals its code and carries its sentence."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.sentence = sentence
        return member


class Reason(Explained):
    """A reason code."""

    UNKNOWN_SCHEMA = "unknown_schema", "The event says that it has a form which this release does not know."
    WRONG_PARTITION = "wrong_partition", "The event stands in another partition than its user's."
    NOT_JSON = "not_json", "The event is not JSON text in UTF-8."
    NOT_AN_OBJECT = "not_an_object", "The event is JSON, but not an object."
    EVENT_TOO_LARGE = "event_too_large", "The event is larger than 64 KiB."
    MISSING_FIELD = "missing_field", "A field that every such event has is missing."
    WRONG_TYPE = "wrong_type", "A field has a value of another type."
    BAD_ID = "bad_id", "An id is empty."
    ID_TOO_LONG = "id_too_long", "An id is longer than 128 bytes."
    EMPTY_HISTORY = "empty_history", "The history has no step."
    UNKNOWN_STATUS = "unknown_status", "A step has a status that is not one of the seven."
    BAD_AMOUNT = "bad_amount", "An amount is not a whole number of minor units between 0 and 10^12."
    BAD_TIME = "bad_time", "A time is not RFC 3339 with an offset, or lies before 1970-01-02 or after 2099."
    COMPLETED_TWICE = "completed_twice", "A history completes more than once."
    COMPLETED_AFTER_END = (
        "completed_after_end",
        "A history completes after it was canceled, failed or expired.",
    )
    REFUND_BEFORE_COMPLETION = "refund_before_completion", "A refund comes before the completion."
    REFUND_ABOVE_AMOUNT = "refund_above_amount", "The refunds exceed the completed amount."
    ATTRIBUTE_TYPE = "attribute_type", "An attribute's value is not of the type that a campaign declares."
    HISTORY_CONFLICT = "history_conflict", "The history contradicts the one that came before it."
    USER_CHANGED = "user_changed", "The transaction belonged to another user before."
    ATTRIBUTES_CHANGED = "attributes_changed", "The transaction had other attributes before."
    PRUNED = "pruned", "The transaction may be older than what is kept; it is settled from the lake."
    SEQUENCE_CONFLICT = "sequence_conflict", "The user had other attributes under the same sequence before."


@dataclass(frozen=True, slots=True)
class Rejection:
    """One event of a batch that is not applied: its row in the batch, the code and the place."""

    row: int
    reason: Reason
    detail: str
