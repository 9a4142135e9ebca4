"""Apache Kafka on loopback: one node that is broker and controller (KRaft), without authentication.

It is set up to start, fail over and forget fast, because tests wait for that; what a test is about, like
fetching, storing and group membership, is Kafka's own.
"""

from __future__ import annotations

import base64
import socket
import struct
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from servers.classes import archive, with_archive
from servers.errors import ServerError
from servers.jars import CACHE, class_path, verified
from servers.java import find_java
from servers.ports import LOOPBACK, free_port
from servers.process import ServerProcess

JVM: Final = (
    "-Xms128m",
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    "--enable-native-access=ALL-UNNAMED",
    "-Djava.awt.headless=true",
    "-Dorg.apache.logging.log4j.level=INFO",
    "-Dlog4j2.disableJmx=true",
)
_FORMAT_SECONDS_MAX: Final = 60
_ASK_SECONDS_MAX: Final = 2.0
_METADATA: Final = struct.pack(">hhihi", 3, 1, 1, -1, 0)
"""A request of Metadata, version 1: correlation 1, no client id, no topics."""

PROPERTIES: Final[dict[str, str]] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    # One node: it is every replica.
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # Its own topics are small.
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "4",
    # A broker that was killed is let in again when its old session has run out.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
    # Members of groups may ask for sessions as short as a test is patient.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "group.coordinator.rebalance.protocols": "classic,consumer",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.min.heartbeat.interval.ms": "200",
    "group.consumer.heartbeat.interval.ms": "500",
    "auto.create.topics.enable": "false",
    "delete.topic.enable": "true",
    "log.retention.check.interval.ms": "1000",
    "log.segment.delete.delay.ms": "1000",
    "log.initial.task.delay.ms": "1000",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "num.recovery.threads.per.data.dir": "1",
    "log.cleaner.dedupe.buffer.size": "4194304",
}


def new_cluster_id() -> str:
    """Return an id as Kafka writes them: 16 bytes in base64 for URLs."""
    drawn = uuid.uuid4().bytes
    # Without the first bit: an id that began with `-` would be taken for an option.
    return base64.urlsafe_b64encode(bytes([drawn[0] & 0x7F]) + drawn[1:]).decode().rstrip("=")


class Kafka(ServerProcess):
    """A broker. `log_folder` has a folder for each partition, with its segments; a context manager."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        advertised: tuple[str, int] | None = None,
        properties: Mapping[str, str] | None = None,
        jvm: tuple[str, ...] = JVM,
        jars: Path = CACHE,
    ) -> None:
        """Take a broker's place: `launch` makes what is not there, and goes on with what is.

        Clients are told to come to `advertised` (host, port), a proxy before the broker; None is the broker
        itself. `properties` win over the ones here. `port` None is a free one, kept for the broker's life.
        """
        self.port = free_port() if port is None else port
        folder = folder.resolve()
        self.log_folder = Path((properties or {}).get("log.dirs", str(folder / "log")))
        self.bootstrap = f"{LOOPBACK}:{self.port}"
        self._java = find_java()
        classes = class_path(verified("kafka", cache=jars))
        self.archive = archive(self._java, classes, jars)
        self._classes = with_archive(self._java, classes, jars)
        self._settings = folder / "server.properties"
        controller = free_port()
        host, outside = advertised or (LOOPBACK, self.port)
        self._properties = {
            **PROPERTIES,
            "listeners": f"PLAINTEXT://{LOOPBACK}:{self.port},CONTROLLER://{LOOPBACK}:{controller}",
            "advertised.listeners": f"PLAINTEXT://{host}:{outside},CONTROLLER://{LOOPBACK}:{controller}",
            "controller.quorum.voters": f"1@{LOOPBACK}:{controller}",
            "log.dirs": str(self.log_folder),
            **(properties or {}),
        }
        command = [str(self._java), *jvm, *self._classes, "kafka.Kafka", str(self._settings)]
        super().__init__("Kafka", command, folder, self._is_ready)

    @classmethod
    def start(
        cls,
        folder: Path,
        *,
        port: int | None = None,
        advertised: tuple[str, int] | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> Self:
        """Return a broker that is ready; the arguments are those of the class.

        Raises:
            ServerError: it cannot be had or does not start.
        """
        return cls(folder, port=port, advertised=advertised, properties=properties).launch()

    def launch(self, seconds_max: float = 60.0) -> Self:
        """Start the broker, on a formatted log, and return once it is in the cluster.

        Raises:
            ServerError: the log cannot be formatted, or as for any server.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log_folder.mkdir(parents=True, exist_ok=True)
        self._settings.write_text(
            "".join(f"{name}={value}\n" for name, value in self._properties.items()), encoding="utf-8"
        )
        if not (self.log_folder / "meta.properties").exists():
            self._format()
        return super().launch(seconds_max)

    def _format(self) -> None:
        command = [
            *(str(self._java), "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"),
            *(*self._classes, "kafka.tools.StorageTool", "format"),
            *("--cluster-id", new_cluster_id(), "--config", str(self._settings)),
        ]
        ended = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_FORMAT_SECONDS_MAX
        )
        if ended.returncode:
            words = "\n".join(line for line in ended.stderr.splitlines() if not line.startswith("\tat "))
            raise ServerError(f"Kafka's log in {self.log_folder} cannot be formatted: {words}")

    def _is_ready(self) -> bool:
        """Return whether the broker names itself as one of the cluster: then it serves, not only listens."""
        with socket.create_connection((LOOPBACK, self.port), _ASK_SECONDS_MAX) as connection:
            connection.sendall(struct.pack(">i", len(_METADATA)) + _METADATA)
            answer = connection.makefile("rb")
            head = answer.read(12)
            return len(head) == 12 and int(struct.unpack(">iii", head)[2]) > 0
