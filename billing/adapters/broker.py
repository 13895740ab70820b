"""Brokers that refuse: what librdkafka hears from them, in words for who can change it.

Owns which refusals cannot end by themselves. Must not know topics. No password is in any error.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import attrs
from confluent_kafka import KafkaError

from billing.adapters.certificates import probe
from billing.errors import SourceError

_CERTIFICATE: Final = "certificate verify failed"  # OpenSSL's words, which librdkafka passes on with several codes
_HANDSHAKE: Final = "SSL_HANDSHAKE"  # the state in which a connection ended
# What a server says of a client's certificate: RFC 8446, section 6.2; 116 is that there is none.
_OF_CLIENT: Final = re.compile(r"SSL alert number (4[2-8]|116)\b")
_WORDS: Final = re.compile(
    r"\w+://(?P<address>[^/]+)/\S+: (?P<words>.*?)(?: \(after \d+ms in state \w+\).*)?", re.DOTALL
)


@attrs.define
class Heard:
    """The first refusal that tells why: given to librdkafka as `error_cb`, for the life of a client."""

    _error: KafkaError | None = None

    def __call__(self, error: KafkaError) -> None:
        """Take what librdkafka says."""
        if self._error is None and (_is_of_user(error) or _HANDSHAKE in error.str() or _OF_CLIENT.search(error.str())):
            self._error = error

    def refusal(self, options: Mapping[str, Any]) -> SourceError | None:
        """Return why brokers refuse, None when none did; options: librdkafka's. A server's certificate is looked at."""
        if self._error is None:
            return None
        found = _WORDS.fullmatch(self._error.str())
        address, words = (found["address"], found["words"]) if found else ("the broker", self._error.str())
        if _is_of_user(self._error):
            remedy = "correct sasl.username, password_file and sasl.mechanism in [source]"
            return SourceError(f"{address}: the broker refuses this user: {words}; {remedy}")
        if _OF_CLIENT.search(words):
            refused = f"the broker does not take this client's certificate, or there is none ({words})"
            remedy = "correct ssl.certificate.location and ssl.key.location"
            return SourceError(f"{address}: {refused}; {remedy}", may_return=True)
        if _CERTIFICATE in words:
            authorities = options.get("ssl.ca.location")
            told = probe(address, None if authorities is None else str(authorities))
            told = told or f"the server's certificate is not accepted ({words}); check ssl.ca.location"
            return SourceError(f"{address}: {told}", may_return=True)
        told = f"no encrypted connection can be made ({words})"
        return SourceError(f"{address}: {told}; check that this listener speaks TLS", may_return=True)


def _is_of_user(error: KafkaError) -> bool:
    return error.code() == KafkaError._AUTHENTICATION  # noqa: SLF001 - librdkafka's own codes are public under this name
