"""Makes kombu know the transport `ringmill`. kombu loads this by the entry point `kombu.serializers`, before a program
makes a connection; it imports nothing of the engine.

kombu 5.7 takes no class path in an URL (`ringmill.kombu:Transport+ringmill:///DIRECTORY`), because an URL may come from
anywhere. That stays so, but for this one path: what it names is installed, and chosen by the installation.
"""

from __future__ import annotations

import functools
import json
from typing import Any

PATH = "ringmill.kombu:Transport"


def _register() -> None:
    import kombu.connection
    import kombu.transport

    kombu.transport.TRANSPORT_ALIASES["ringmill"] = PATH
    check = getattr(kombu.connection, "_check_url_transport", None)
    if check is None or hasattr(check, "__wrapped__"):  # before 5.7; or we were here before
        return

    @functools.wraps(check)
    def check_or_ours(name: str) -> Any:
        return name if name == PATH else check(name)

    kombu.connection._check_url_transport = check_or_ours


_register()

# What the entry point has to be: a serializer. It is JSON under another name; it need not be used.
serializer = (json.dumps, json.loads, "application/x-ringmill-json", "utf-8")
