"""What the two clients have in common: whom they ask, as whom, and by which rules."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import httpx2

from rung.client.address import checked_address
from rung.client.asking import Asker
from rung.client.credentials import AsyncCredential, checked
from rung.client.http import TIMEOUT_SECONDS
from rung.client.operations import Operations
from rung.client.retries import Retries

_Credential = TypeVar("_Credential", bound=AsyncCredential)
_Http = TypeVar("_Http", httpx2.Client, httpx2.AsyncClient)


class Configured(ABC, Generic[_Credential, _Http]):
    """A client's settings, and its connections."""

    def __init__(
        self,
        server: str,
        credential: _Credential,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        retries: Retries | None = None,
        etags_max: int = 0,
        allow_plain_http: bool = False,
    ) -> None:
        """Take whom to ask, and as whom; nothing is sent yet.

        Args:
            server: The server's address, such as `https://rung.example`. Plain http is for this machine only,
                unless `allow_plain_http` says that the network is your own.
            credential: A service's key, a user's token, or a function that gives the present one and is
                called for each request. It is shown to nobody but the server: no error, log line or `repr`
                has it.
            timeout_seconds: How long connecting, and each wait for a part of the answer, may take.
            retries: How often is asked again, and when.
            etags_max: Of how many statuses the last answer is kept, so that one which has not changed need
                not be sent again. The server is asked all the same: figures are always the present ones.
            allow_plain_http: Takes an `http://` address beyond this machine.

        Raises:
            Refused: the address cannot be used.
            NotAllowed: the key or token is empty, or could not be sent.
        """
        self._address = checked_address(server, allow_plain_http=allow_plain_http)
        self._timeout_seconds = timeout_seconds
        self._credential = credential
        if isinstance(credential, str):
            checked(credential)
        self._asker = Asker(retries or Retries(), etags_max, credential_changes=callable(credential))
        self._operations = Operations(self._asker)
        self._http = self._connected()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._address!r})"

    @abstractmethod
    def _connected(self) -> _Http:
        """Return the HTTP library's client."""
