"""A client of the status API, for programs with and without an event loop.

```python
from rung.client import Client

with Client("https://rung.example", key) as rung:
    receipt = rung.send(payment)
    print(rung.status("ann", after=receipt))
```
"""

from __future__ import annotations

from rung.client.async_client import AsyncClient
from rung.client.client import Client
from rung.client.credentials import AsyncCredential, Credential
from rung.client.errors import BadAnswer, ClientError, NotAllowed, Refused, Unavailable, Unreachable
from rung.client.operations import After
from rung.client.retries import Retries
from rung.client.sending import Event, Receipt
from rung.client.targets import At

__all__ = (
    "After",
    "AsyncClient",
    "AsyncCredential",
    "At",
    "BadAnswer",
    "Client",
    "ClientError",
    "Credential",
    "Event",
    "NotAllowed",
    "Receipt",
    "Refused",
    "Retries",
    "Unavailable",
    "Unreachable",
)
