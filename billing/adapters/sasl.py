"""SASL: the password of a broker's user, as its file has it now, given to clients that live longer than it.

Owns when the file is read. Must not know topics.
"""

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

from confluent_kafka import KafkaException

from billing.config.document import secret_in
from billing.errors import SettingsError

_LOOK_SECONDS: Final = 1.0
Options = Mapping[str, str | int | bool]


class Client(Protocol):
    """What of librdkafka can enter with another password; connections that are open stay."""

    def set_sasl_credentials(self, username: str, password: str) -> None:
        """Use these the next time that a broker asks."""
        ...


class Credentials:
    """Options with the newest password; used from one thread at a time."""

    def __init__(self, options: Options, password_file: Path | None) -> None:
        """Prepare; password_file: where sasl.password was read, None where nobody can change it."""
        self._options = dict(options)
        self._file = password_file
        self._looked_at = -math.inf

    @property
    def options(self) -> dict[str, Any]:
        """Options of librdkafka, for clients that are made now."""
        return dict(self._options)

    def renew(self) -> bool:
        """Read the file, at most once a second; returns whether it has another password than before."""
        if self._file is None or time.monotonic() - self._looked_at < _LOOK_SECONDS:
            return False
        self._looked_at = time.monotonic()
        try:
            password = secret_in(self._file)
        except SettingsError:  # it is being replaced
            return False
        changed = password != self._options["sasl.password"]
        self._options["sasl.password"] = password
        return changed

    def give(self, client: Client | None) -> None:
        """Let a client use the newest password; one that is closed needs none."""
        if client is not None and "sasl.username" in self._options:
            with suppress(KafkaException, RuntimeError):
                client.set_sasl_credentials(str(self._options["sasl.username"]), str(self._options["sasl.password"]))
