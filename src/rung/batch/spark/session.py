"""A Spark session of its own: started when it is needed, reached by nobody else, and stopped at the end."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rung.batch.spark.java import java_home

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_LOOPBACK: Final = "127.0.0.1"
# What goes wrong is raised here; Spark would tell it once more in hundreds of lines.
_QUIET: Final = """\
rootLogger.level = off
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{HH:mm:ss} %p %c{1}: %m%n%ex
# Its level is what Spark would set the root's to, with a message.
logger.gateway.name = org.apache.spark.api.python.PythonGatewayServer
logger.gateway.level = off
"""


class SparkMissing(Exception):
    """Spark is not installed; the text has the command that installs it."""


class SparkFailed(Exception):
    """Spark did not start, or could not do what was asked; the text says what it said."""


@dataclass(frozen=True, slots=True)
class SparkSettings:
    """How to start Spark.

    Attributes:
        master: `local[2]`, or the address of a cluster.
        memory_mib: The driver's memory; with a `local` master that is all there is.
        folder: For what Spark writes meanwhile. The executors of a cluster see it under the same path.
    """

    master: str
    memory_mib: int
    folder: Path


@contextmanager
def spark_session(settings: SparkSettings) -> Generator[SparkSession]:
    """Start Spark, and stop it with its Java process at the end.

    With a `local` master it listens on loopback only; the driver's address in a cluster is for Spark's own
    configuration to say.

    Raises:
        SparkMissing: pyspark is not installed.
        JavaMissing: there is no Java for it.
        SparkFailed: it did not start.
    """
    if find_spec("pyspark") is None:
        raise SparkMissing(
            'the engine "spark" needs pyspark, which is not installed: run pip install "pyspark>=4.1,<5" '
            "(the extra `spark` of this package), or leave out --engine"
        )
    from py4j.protocol import Py4JError  # noqa: PLC0415 - it need not be there
    from pyspark.errors import PySparkException  # noqa: PLC0415 - as above

    shutil.rmtree(settings.folder, ignore_errors=True)
    settings.folder.mkdir(parents=True)
    try:
        with _environment(_variables(settings)):
            session = _started(settings)
    except (PySparkException, Py4JError, RuntimeError) as error:
        text = said(error)
        _end_java()
        shutil.rmtree(settings.folder, ignore_errors=True)
        raise SparkFailed(
            f"Spark did not start with batch.spark_master = {settings.master}: {text}"
        ) from error
    try:
        yield session
    finally:
        session.stop()
        _end_java()
        shutil.rmtree(settings.folder, ignore_errors=True)


def said(error: BaseException) -> str:
    """Return what Spark said in one line: that with a condition in brackets, else that of the exception."""
    lines = [line.strip().removeprefix(": ") for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if re.search(r"\[[A-Z_.]{6,}\]", line)]
    told += [line for line in lines if "Exception: " in line]
    return (told or lines or [type(error).__name__])[0]


def _started(settings: SparkSettings) -> SparkSession:
    from pyspark.sql import SparkSession  # noqa: PLC0415 - it need not be there

    log_file = settings.folder / "log4j2.properties"
    log_file.write_text(_QUIET, encoding="utf-8")
    chosen = {
        "spark.driver.memory": f"{settings.memory_mib}m",
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={log_file.as_uri()}",
        "spark.local.dir": str(settings.folder / "local"),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.ansi.enabled": "true",
        "spark.sql.caseSensitive": "true",
        "spark.sql.catalogImplementation": "in-memory",
        # Periods are read from instants that have been moved to the campaign's own clock.
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.warehouse.dir": str(settings.folder / "warehouse"),
    }
    if _is_local(settings):
        chosen |= {"spark.driver.host": _LOOPBACK, "spark.driver.bindAddress": _LOOPBACK}
    builder: Any = SparkSession.builder
    builder = builder.master(settings.master).appName("rung")
    for name, value in chosen.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def _variables(settings: SparkSettings) -> Mapping[str, str]:
    home = java_home(settings.folder / "java", os.environ)
    found = {"JAVA_HOME": str(home), "PYSPARK_PYTHON": sys.executable}
    return {**found, "SPARK_LOCAL_IP": _LOOPBACK} if _is_local(settings) else found


def _is_local(settings: SparkSettings) -> bool:
    return settings.master.startswith("local")


def _end_java() -> None:
    """End the Java process behind a session, which pyspark would keep for another one."""
    from pyspark import SparkContext  # noqa: PLC0415 - it need not be there

    context: Any = SparkContext
    gateway, context._gateway, context._jvm = context._gateway, None, None  # noqa: SLF001 - nothing public ends it
    if gateway is not None:
        gateway.shutdown()
        gateway.proc.stdin.close()
        gateway.proc.wait()


@contextmanager
def _environment(variables: Mapping[str, str]) -> Generator[None]:
    """Set variables for the program that is started meanwhile."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
