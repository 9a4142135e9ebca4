"""All faults that heal, mixed by a seed under continuous traffic; afterwards every user is compared.

    python -m faults.chaos --seconds 600 --seed 1

Half of the time the store is DynamoDB Local, half of it LMDB; the log is Kafka with two to four workers. Each fault is
printed when it begins. The kinds are dealt like cards, so all of them come before one comes again. It ends
with 1 if anything differs from the oracle, or if a kind never came in 120 seconds or more.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Final

from faults.dynamo_rules import RuleName
from faults.rung_process import KILLED, RungProcess
from faults.scene import TRAFFIC, Scene, StoreKind, proxied_kafka, staged
from rung.traffic import generate
from servers.dynamodb import DynamoDbLocal
from store.dynamodb_local import emulator

WORKERS_MIN: Final = 2
WORKERS_MAX: Final = 4
PAUSE_SECONDS: Final = 0.2
"""Between two chunks of 20 events: what the emulator can keep up with."""
ALL_KINDS_SECONDS: Final = 120.0
_SHARES: Final[Mapping[RuleName, float]] = {
    "drop_after": 0.3,
    "drop_before": 0.3,
    "throttle": 0.5,
    "transaction_conflict": 0.5,
    "server_error": 0.3,
    "duplicate": 0.5,
    "unprocessed": 0.5,
}

Fault = Callable[[], None]


class Chaos:
    """The faults of one scene; each method begins one fault, and ends it."""

    def __init__(self, scene: Scene, random: Random) -> None:
        """Take a scene with proxies before its servers, and what draws lots."""
        self._scene = scene
        self._random = random

    def kinds(self) -> dict[str, Fault]:
        """Return the faults that can happen to this scene, by name."""
        found: dict[str, Fault] = {
            "worker killed": self._kill_worker,
            "worker stands still": self._pause_worker,
            "worker stopped": self._stop_worker,
            "worker joins": self._add_worker,
            "broker killed": self._kill_broker,
            "broker stands still": self._pause_broker,
            "connections reset": self._reset_connections,
            "connections slow": self._slow_connections,
        }
        if self._scene.dynamo_proxy is not None:
            found["emulator killed"] = self._kill_emulator
            for rule in _SHARES:
                found[f"DynamoDB: {rule}"] = self._ruled(rule)
        return found

    def begin(self) -> None:
        """Start the workers and the traffic."""
        for _ in range(WORKERS_MIN):
            self._start_worker()
        endless = replace(TRAFFIC, transactions=1_000_000, users=300, seed=self._random.randrange(1_000_000))
        self._scene.feeder.start(generate(endless), PAUSE_SECONDS)

    def _start_worker(self) -> None:
        self._scene.start_worker().wait_for_text("Partitions")

    def _any_worker(self) -> RungProcess:
        return self._random.choice(self._scene.running_workers())

    def _refill(self) -> None:
        while len(self._scene.running_workers()) < WORKERS_MIN:
            self._start_worker()

    def _kill_worker(self) -> None:
        assert self._any_worker().kill_at_once() == KILLED
        self._refill()

    def _pause_worker(self) -> None:
        worker = self._any_worker()
        worker.pause()
        time.sleep(self._random.uniform(0.5, 3.0))
        worker.resume()

    def _stop_worker(self) -> None:
        worker = self._any_worker()
        worker.terminate()
        assert worker.ended() == 0, worker.printed()
        self._refill()

    def _add_worker(self) -> None:
        if len(self._scene.running_workers()) < WORKERS_MAX:
            self._start_worker()
        else:
            self._stop_worker()

    def _kill_broker(self) -> None:
        self._scene.kafka.kill()
        time.sleep(self._random.uniform(0.0, 2.0))
        self._scene.kafka.launch()

    def _pause_broker(self) -> None:
        self._scene.kafka.pause()
        time.sleep(self._random.uniform(0.5, 3.0))
        self._scene.kafka.resume()

    def _reset_connections(self) -> None:
        assert self._scene.kafka_proxy is not None
        self._scene.kafka_proxy.reset_all()

    def _slow_connections(self) -> None:
        assert self._scene.kafka_proxy is not None
        self._scene.kafka_proxy.delay(0.05, 0.5)
        time.sleep(self._random.uniform(1.0, 2.0))
        self._scene.kafka_proxy.heal()

    def _kill_emulator(self) -> None:
        assert self._scene.local is not None
        self._scene.local.kill()
        time.sleep(self._random.uniform(0.0, 2.0))
        self._scene.local.launch()

    def _ruled(self, rule: RuleName) -> Fault:
        def strike() -> None:
            self._scene.proxy.set(rule, _SHARES[rule])
            time.sleep(self._random.uniform(1.0, 2.5))
            self._scene.proxy.clear(rule)

        return strike


def dealt(kinds: Mapping[str, Fault], random: Random) -> Iterator[tuple[str, Fault]]:
    """Yield faults for ever, all of them before one comes again."""
    while True:
        names = sorted(kinds)
        random.shuffle(names)
        yield from ((name, kinds[name]) for name in names)


def attack(folder: Path, store: StoreKind, seconds: float, seed: int) -> tuple[Counter[str], list[str]]:
    """Mix faults for a while, let everything settle, and return what happened and what differs."""
    random, happened = Random(f"{seed}/{store}"), Counter[str]()
    with ExitStack() as opened:
        kafka = opened.enter_context(proxied_kafka(folder / "kafka", seed))
        local = None
        if store == "dynamodb":
            # It gives this process its credentials, too.
            emulator()
            local = opened.enter_context(DynamoDbLocal.start(folder / "dynamodb"))
        scene = opened.enter_context(
            staged(
                folder / "scene",
                store,
                kafka=kafka,
                local=local,
                is_proxied=local is not None,
                session_seconds=2.0,
                seed=seed,
            )
        )
        chaos = Chaos(scene, random)
        kinds = chaos.kinds()
        happened.update(dict.fromkeys(kinds, 0))
        chaos.begin()
        began = time.monotonic()
        for name, fault in dealt(kinds, random):
            if time.monotonic() - began > seconds:
                break
            say(f"{time.monotonic() - began:7.1f} s  {store:8}  {name}")
            fault()
            happened[name] += 1
            time.sleep(random.uniform(0.1, 0.8))
        say(f"{time.monotonic() - began:7.1f} s  {store:8}  settling, {scene.lag():,} events behind")
        scene.settle()
        found = scene.differences()
        say(
            f"{time.monotonic() - began:7.1f} s  {store:8}  {len(scene.feeder.acknowledged):,} events compared"
        )
    return happened, found


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> int:
    """Run as the usage says, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m faults.chaos", description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=600.0, help="how long faults happen, over both stores"
    )
    parser.add_argument("--seed", type=int, default=1, help="chooses traffic and faults")
    chosen = parser.parse_args(arguments)
    say(f"seed {chosen.seed}, {chosen.seconds:g} s of faults")
    failed = False
    stores: tuple[StoreKind, ...] = ("dynamodb", "lmdb")
    for store in stores:
        with tempfile.TemporaryDirectory(prefix="rung-chaos-") as folder:
            happened, found = attack(Path(folder), store, chosen.seconds / len(stores), chosen.seed)
        for name, times in sorted(happened.items()):
            say(f"{store:8}  {times:4}  {name}")
        missing = [name for name, times in happened.items() if not times]
        if missing and chosen.seconds >= ALL_KINDS_SECONDS:
            say(f"error: never happened: {', '.join(missing)}")
            failed = True
        for line in found:
            say(f"error: {line}")
        failed = failed or bool(found)
    say("error: something differs; see above" if failed else "Every user equals the oracle")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
