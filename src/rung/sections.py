"""The settings of each section of rung.toml: type, limits, default and meaning, declared once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from rung.properties import Property

_MEBIBYTE: Final = 1 << 20
_TEBIBYTE: Final = 1 << 40


class LogSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The event log. Partitions and map_bytes are of the embedded one."""

    kind: Annotated[
        Literal["embedded", "kafka"],
        Meta(description='"embedded": in this home; "kafka": a topic, see [kafka].'),
    ] = "embedded"
    partitions: Annotated[
        int, Meta(ge=1, le=1_024, description="Partitions; fixed once the log has been made.")
    ] = 4
    map_bytes: Annotated[
        int, Meta(ge=_MEBIBYTE, description="The most that the log's file can grow to, in bytes.")
    ] = _TEBIBYTE


class KafkaSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The log on Kafka, for log.kind = "kafka"."""

    bootstrap_servers: Annotated[
        str, Meta(description="Brokers to begin with: host:port, several with commas between.")
    ] = ""
    topic: Annotated[str, Meta(description="The topic of events.")] = "rung-events"
    group_id: Annotated[str, Meta(description="The group that the workers share the partitions in.")] = "rung"
    quarantine_topic: Annotated[
        str, Meta(description="A topic with a copy of the quarantine; empty for none.")
    ] = "rung-quarantine"
    group_protocol: Annotated[
        Literal["classic", "consumer"],
        Meta(description='How the group shares: "classic", or "consumer" (KIP-848, Kafka 4).'),
    ] = "classic"
    session_timeout_seconds: Annotated[
        float, Meta(ge=1, le=300, description="How long a silent worker keeps its partitions; classic only.")
    ] = 45.0
    delivery_timeout_seconds: Annotated[
        float, Meta(ge=1, le=300, description="How long an append may take before it has failed.")
    ] = 30.0
    client: Annotated[
        Mapping[str, Property],
        Meta(
            description="""
Properties of librdkafka, passed on as they are: TLS, SASL and more. A secret stays out of this file:
  security.protocol = "SASL_SSL"
  sasl.password = {env = "KAFKA_PASSWORD"}
  ssl.key.password = {file = "/run/secrets/kafka"}"""
        ),
    ] = msgspec.field(default_factory=dict[str, Property])


class StoreSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The store. Map_bytes is of the embedded one, "lmdb"."""

    kind: Annotated[
        Literal["lmdb", "dynamodb"],
        Meta(description='"lmdb": in this home; "dynamodb": tables, see [dynamodb].'),
    ] = "lmdb"
    map_bytes: Annotated[
        int, Meta(ge=_MEBIBYTE, description="The most that the store's file can grow to, in bytes.")
    ] = _TEBIBYTE


class DynamodbSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The store on DynamoDB, for store.kind = "dynamodb". Credentials are those of any AWS program."""

    region: Annotated[str, Meta(description="The AWS region of the tables, such as eu-central-1.")] = ""
    endpoint_url: Annotated[
        str, Meta(description="Another endpoint, such as an emulator's; empty for the region's own.")
    ] = ""
    table_prefix: Annotated[
        str,
        Meta(pattern=r"^[a-zA-Z0-9_.-]{1,200}$", description="What the names of the tables begin with."),
    ] = "rung"
    request_timeout_seconds: Annotated[
        float, Meta(gt=0, le=60, description="How long one attempt of a call may take.")
    ] = 5.0
    attempts_max: Annotated[
        int, Meta(ge=1, le=100, description="How often a call is tried before the store counts as busy.")
    ] = 6
    concurrent_calls: Annotated[
        int,
        Meta(
            ge=1, le=1_000, description="Calls under way at once in each process; as many again for statuses."
        ),
    ] = 8


class WorkerSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The speed layer's worker."""

    batch_events_max: Annotated[
        int, Meta(ge=1, le=1_000_000, description="The most events in one micro-batch.")
    ] = 200_000
    batch_bytes_max: Annotated[
        int, Meta(ge=65_536, description="About the most bytes of events in one micro-batch.")
    ] = 64 * _MEBIBYTE
    idle_wait_seconds: Annotated[
        float, Meta(gt=0, le=60, description="How long an idle worker waits at a time.")
    ] = 0.2
    lag_events_max: Annotated[
        int, Meta(ge=1, description="With more events than this waiting, the API refuses more (503).")
    ] = 5_000_000


class LakeSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The lake: the archive of every event, as a Delta table."""

    uri: Annotated[
        str,
        Meta(description="A folder, or a URI such as s3://bucket/rung; empty for a folder in this home."),
    ] = ""
    archive_events_max: Annotated[
        int, Meta(ge=1_000, le=5_000_000, description="The most events that are archived at once.")
    ] = 200_000
    archive_wait_seconds: Annotated[
        float, Meta(gt=0, le=3_600, description="How long an event waits for others to be archived with.")
    ] = 10.0
    options: Annotated[
        Mapping[str, Property],
        Meta(
            description="""
How to reach an object store, as the delta-rs library names it. A secret stays out of this file:
  AWS_REGION = "eu-central-1"
  AWS_SECRET_ACCESS_KEY = {env = "AWS_SECRET_ACCESS_KEY"}"""
        ),
    ] = msgspec.field(default_factory=dict[str, Property])


class BatchSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The batch layer, on one machine."""

    folder: Annotated[
        str, Meta(description="Where snapshots, reports and results are; empty for a folder in this home.")
    ] = ""
    memory_mib: Annotated[
        int,
        Meta(ge=256, description="The engine's memory, in MiB; what needs more is spilt."),
    ] = 4_096
    threads: Annotated[int, Meta(ge=1, le=1_024, description="The engine's threads.")] = 2
    spark_master: Annotated[
        str,
        Meta(
            pattern=r"^(local|yarn|spark://|k8s://)",
            description="Where --engine spark runs: local[CORES], or a cluster's address.",
        ),
    ] = "local[2]"


class ApiSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The status API and page."""

    host: Annotated[
        str,
        Meta(
            description="The address to listen on; beyond loopback it needs allowed_hosts, and TLS before it."
        ),
    ] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535, description="The port; 0 takes a free one.")] = 8080
    workers: Annotated[int, Meta(ge=1, le=64, description="Processes that answer requests.")] = 1
    allowed_hosts: Annotated[
        tuple[str, ...],
        Meta(description="Names that requests may call this server by, besides those of loopback."),
    ] = ()
    allowed_origins: Annotated[
        tuple[str, ...],
        Meta(description="Web sites that may show a user's status, such as https://shop.example."),
    ] = ()
    client_header: Annotated[
        str,
        Meta(
            pattern=r"^[a-z0-9-]*$",
            description="The header in which the proxy before this server tells the client's address.",
        ),
    ] = ""
    user_requests_per_second: Annotated[
        float, Meta(gt=0, description="Requests of one user, in each process.")
    ] = 10.0
    user_burst: Annotated[int, Meta(ge=1, description="Requests of one user at once.")] = 40
    key_requests_per_second: Annotated[
        float, Meta(gt=0, description="Requests by one key, in each process.")
    ] = 5_000.0
    key_burst: Annotated[int, Meta(ge=100, description="Requests by one key at once.")] = 10_000
    failures_per_minute: Annotated[
        float, Meta(gt=0, description="Tokens and keys of one client that may turn out wrong.")
    ] = 30.0
    concurrent_requests_max: Annotated[
        int, Meta(ge=1, description="Requests under way in each process; further ones are refused.")
    ] = 2_000
    streams_max: Annotated[
        int, Meta(ge=0, description="Streams of statuses in each process; further ones are refused.")
    ] = 1_000


class TokensSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The tokens of users: JSON web tokens of one issuer. Without an issuer the API takes none."""

    issuer: Annotated[
        str, Meta(description="Who issues the tokens: their `iss`, to the letter; empty for no tokens.")
    ] = ""
    audience: Annotated[str, Meta(description="Whom the tokens are for: one of their `aud`.")] = ""
    jwks: Annotated[
        str,
        Meta(description="The issuer's public keys (a JWK set): a file, from the home on, or an https URL."),
    ] = ""
    algorithms: Annotated[
        tuple[Literal["RS256", "ES256", "EdDSA"], ...],
        Meta(min_length=1, description="The signatures that are taken: RS256, ES256, EdDSA."),
    ] = ("RS256", "ES256", "EdDSA")
    user_claim: Annotated[
        str, Meta(min_length=1, max_length=64, description="The claim that holds the user's id.")
    ] = "sub"
    leeway_seconds: Annotated[
        int, Meta(ge=0, le=60, description="How far the issuer's clock may be from this one's.")
    ] = 30
    refresh_seconds: Annotated[
        float, Meta(ge=1, le=3_600, description="A key that is not known is asked for at most so often.")
    ] = 30.0


class WebhooksSection(Struct, frozen=True, forbid_unknown_fields=True):
    """Messages about the steps that users reach and lose, sent by `rung webhooks run`."""

    url: Annotated[
        str, Meta(description="Where messages go, by https; on this machine also by http. Empty for none.")
    ] = ""
    secrets: Annotated[
        Mapping[str, Property],
        Meta(
            description="""
What messages are signed with, each under a name of your choice; two while one takes the other's place:
  current = {file = "/run/secrets/rung-webhooks"}"""
        ),
    ] = msgspec.field(default_factory=dict[str, Property])
    timeout_seconds: Annotated[
        float, Meta(gt=0, le=60, description="How long the endpoint may take for an answer.")
    ] = 10.0
    concurrent: Annotated[
        int, Meta(ge=1, le=256, description="How many messages are sent at once; of a user one.")
    ] = 16
    attempts_max: Annotated[
        int, Meta(ge=1, le=100, description="A message that was tried so often is parked, with an alarm.")
    ] = 16
    first_wait_seconds: Annotated[
        float, Meta(gt=0, le=3_600, description="The wait before the second attempt; each is twice as long.")
    ] = 1.0


class ConsoleSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The operators' console."""

    host: Annotated[
        str, Meta(description="The address to listen on; beyond loopback it needs origin, and TLS before it.")
    ] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535, description="The port; 0 takes a free one.")] = 8090
    origin: Annotated[
        str,
        Meta(
            description="How browsers reach it, such as https://rung.example.com; empty for loopback alone."
        ),
    ] = ""
    timezone: Annotated[str, Meta(description="The zone in which it shows all times.")] = "UTC"


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of one home."""

    log: LogSection = LogSection()
    kafka: KafkaSection = KafkaSection()
    store: StoreSection = StoreSection()
    dynamodb: DynamodbSection = DynamodbSection()
    worker: WorkerSection = WorkerSection()
    lake: LakeSection = LakeSection()
    batch: BatchSection = BatchSection()
    api: ApiSection = ApiSection()
    api_tokens: TokensSection = TokensSection()
    console: ConsoleSection = ConsoleSection()
    webhooks: WebhooksSection = WebhooksSection()


SECTIONS: Final[Mapping[str, type[Struct]]] = {
    "log": LogSection,
    "kafka": KafkaSection,
    "store": StoreSection,
    "dynamodb": DynamodbSection,
    "worker": WorkerSection,
    "lake": LakeSection,
    "batch": BatchSection,
    "api": ApiSection,
    "api.tokens": TokensSection,
    "console": ConsoleSection,
    "webhooks": WebhooksSection,
}
"""What stands under each heading of rung.toml; a dot in a heading is an underscore in `Settings`."""
