"""The bench's job on Quix Streams, exactly once: run in an environment of its own (`quix.lock`).

Usage: python quix.py BOOTSTRAP TOPIC GROUP EVENTS STATE_FOLDER; prints one line of JSON with `seconds`, from
the first event handled to the last one committed.

The same figures as the bench's campaign: per user and month in Tokyo the payments of at least 100 yen and
the total, from histories that may come twice; so each transaction's last contribution is kept in the
state, as well as the user's figures, and both go to the changelog in one Kafka transaction.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from datetime import datetime, timedelta, timezone

from quixstreams import Application

_TOKYO = timezone(timedelta(hours=9))


def main() -> None:
    bootstrap, topic_name, group, events, folder = sys.argv[1:]
    application = Application(
        broker_address=bootstrap,
        consumer_group=group,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        state_dir=folder,
        loglevel=logging.WARNING,
        request_timeout=30,
        commit_interval=5.0,
    )
    stream = application.dataframe(
        application.topic(topic_name, value_deserializer="json", key_deserializer="str")
    )
    started: list[float] = []

    def count(event, state):  # noqa: ANN001, ANN202
        if not started:
            started.append(time.perf_counter())
        completed = next((step for step in event["history"] if step["status"] == "COMPLETED"), None)
        if completed is None:
            return
        left = completed["amount"] - sum(
            step["amount"] for step in event["history"] if step["status"] == "REFUNDED"
        )
        month = datetime.fromisoformat(completed["at"]).astimezone(_TOKYO).strftime("%Y-%m")
        now = [month, int(left >= 100), max(left, 0)]
        key = f"t:{event['transaction_id']}"
        before = state.get(key)
        if before == now:
            return
        state.set(key, now)
        for change, sign in ((before, -1), (now, 1)):
            if change is not None:
                figures = state.get(change[0], [0, 0])
                state.set(change[0], [figures[0] + sign * change[1], figures[1] + sign * change[2]])

    stream.update(count, stateful=True)
    application.run(count=int(events))
    sys.stdout.write(json.dumps({"seconds": time.perf_counter() - started[0], "events": int(events)}) + "\n")


main()
