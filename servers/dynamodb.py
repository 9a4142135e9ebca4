"""DynamoDB Local on loopback.

Its own main program listens on all interfaces, and has no option for that. But it is a handler in a Jetty
server, so Jetty builds the server here, from a description that names the loopback address. Telemetry needs
to be switched on by that main program, and so is off.
"""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import Final, Self
from xml.sax.saxutils import escape

from servers.classes import archive, with_archive
from servers.jars import CACHE, class_path, verified
from servers.java import find_java
from servers.ports import LOOPBACK, free_port
from servers.process import ServerProcess

ACCESS_KEY: Final = "rung"
SECRET_KEY: Final = "rung"
"""What clients give as credentials. Any key will do if it has letters and digits only."""

JVM: Final = (
    "-Xms128m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-Xshare:auto",
    "--enable-native-access=ALL-UNNAMED",
    "-Djava.awt.headless=true",
    "-Dorg.eclipse.jetty.LEVEL=WARN",
)
_ASK_SECONDS_MAX: Final = 5.0
_HEADERS: Final = {
    "Content-Type": "application/x-amz-json-1.0",
    "X-Amz-Target": "DynamoDB_20120810.ListTables",
    "Authorization": f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20200101/local/dynamodb/aws4_request, "
    "SignedHeaders=host, Signature=0",
}

_SERVER: Final = """\
<?xml version="1.0"?>
<!DOCTYPE Configure PUBLIC "-//Jetty//Configure//EN" "configure.dtd">
<Configure class="org.eclipse.jetty.server.Server">
  <Arg><New class="java.net.InetSocketAddress"><Arg>{host}</Arg><Arg type="int">{port}</Arg></New></Arg>
  <Set name="handler"><New class="org.eclipse.jetty.server.handler.ContextHandler">
    <Set name="handler"><New class="{package}.LocalDynamoDBServerHandler">
      <Arg><New class="{package}.LocalDynamoDBRequestHandler">
        <Arg type="int">{port}</Arg>
        <Arg type="boolean">{in_memory}</Arg>
        {folder}
        <Arg type="boolean">true</Arg>
        <Arg type="boolean">false</Arg>
      </New></Arg>
      <Arg/>
    </New></Set>
  </New></Set>
</Configure>
"""
"""The arguments after the folder: one database for all regions and keys, and no artificial delays."""
_PACKAGE: Final = "software.amazon.dynamodb.services.local.server"


class DynamoDbLocal(ServerProcess):
    """The emulator, with its tables in a file of its folder, or in memory; a context manager."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        in_memory: bool = False,
        jvm: tuple[str, ...] = JVM,
        jars: Path = CACHE,
    ) -> None:
        """Take an emulator's place: `launch` makes what is not there, and goes on with what is.

        `port` None is a free one, kept for the emulator's life.
        """
        self.port = free_port() if port is None else port
        self.endpoint = f"http://{LOOPBACK}:{self.port}"
        folder = folder.resolve()
        self.data_folder = folder / "data"
        self._in_memory = in_memory
        self._description = folder / "server.xml"
        native = f"-Dsqlite4java.library.path={jars}"
        java, classes = find_java(), class_path(verified("dynamodb", cache=jars))
        self.archive = archive(java, classes, jars)
        command = [
            *(str(java), *jvm, native, *with_archive(java, classes, jars)),
            *("org.eclipse.jetty.xml.XmlConfiguration", str(self._description)),
        ]
        super().__init__("DynamoDB Local", command, folder, self._is_ready)

    @classmethod
    def start(cls, folder: Path, *, port: int | None = None, in_memory: bool = False) -> Self:
        """Return an emulator that is ready; the arguments are those of the class.

        Raises:
            ServerError: it cannot be had or does not start.
        """
        return cls(folder, port=port, in_memory=in_memory).launch()

    def launch(self, seconds_max: float = 60.0) -> Self:
        """Start the emulator and return once it answers.

        Raises:
            ServerError: as for any server.
        """
        self.data_folder.mkdir(parents=True, exist_ok=True)
        folder = "<Arg/>" if self._in_memory else f"<Arg>{escape(str(self.data_folder))}</Arg>"
        self._description.write_text(
            _SERVER.format(
                host=LOOPBACK,
                port=self.port,
                package=_PACKAGE,
                in_memory=str(self._in_memory).lower(),
                folder=folder,
            ),
            encoding="utf-8",
        )
        return super().launch(seconds_max)

    def _is_ready(self) -> bool:
        """Return whether the tables can be listed."""
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=_ASK_SECONDS_MAX)
        try:
            connection.request("POST", "/", b"{}", _HEADERS)
            return connection.getresponse().status == http.HTTPStatus.OK
        except http.client.HTTPException:
            return False
        finally:
            connection.close()
