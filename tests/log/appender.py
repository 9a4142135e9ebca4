"""A process that appends to an embedded log from several threads, and says what is acknowledged.

Usage: appender.py FOLDER NAME BATCHES. Each thread appends BATCHES batches (0: until it is killed) and
writes one line `BATCH PARTITION OFFSET` for each, with the position of the batch's last event.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

from rung.log.embedded import EmbeddedLog
from rung.log.group_commit import GroupCommit

BATCH_EVENTS = 20
PARTITIONS = 4
THREADS = 3


def batch(name: str) -> list[bytes]:
    """Return the events of a batch; each carries the batch's name and its own index."""
    return [
        json.dumps({"user_id": f"user-{index}", "batch": name, "index": index}).encode()
        for index in range(BATCH_EVENTS)
    ]


def append_all(producer: GroupCommit, thread: str, batches: int) -> None:
    """Append batches and report each one when it is durable."""
    number = 0
    while not batches or number < batches:
        name = f"{thread}-{number}"
        last = producer.append(batch(name))[-1]
        os.write(1, f"{name} {last.partition} {last.offset}\n".encode())
        number += 1


def main() -> None:
    """Run as the usage says."""
    folder, name, batches = sys.argv[1:]
    log = EmbeddedLog.open(Path(folder), PARTITIONS, lambda: time.time_ns() // 1_000)
    producer = GroupCommit(log.producer())
    threads = [
        threading.Thread(target=append_all, args=(producer, f"{name}-{number}", int(batches)))
        for number in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    producer.close()
    log.close()


if __name__ == "__main__":
    main()
