"""Certificates of servers: what is wrong with one that is not accepted, in words for who can change it.

Must not know what servers are for.
"""

import socket
import ssl
from typing import Final

_OUT_OF_DATE: Final = {9: "is not valid yet", 10: "has expired"}  # X509_V_ERR_..., x509_vfy.h of OpenSSL
_OTHER_HOST: Final = frozenset({62, 64})
_UNKNOWN_AUTHORITY: Final = frozenset({2, 18, 19, 20, 21})
_PROBE_SECONDS: Final = 3.0


def fault(error: ssl.SSLCertVerificationError, host: str, authorities: str) -> str:
    """Say what is wrong with the certificate of a host, and what to do: `what; remedy`.

    authorities: the name of the file of those that it should be by.
    """
    if error.verify_code in _OUT_OF_DATE:
        return f"the server's certificate {_OUT_OF_DATE[error.verify_code]}; renew it, or correct the clock"
    if error.verify_code in _OTHER_HOST:
        return f"the server's certificate is not for {host}; write the host that it names, or give it another one"
    if error.verify_code in _UNKNOWN_AUTHORITY:
        return f"the server's certificate is by no authority in {authorities}; name the file with its authority"
    return f"the server's certificate is not accepted ({error.verify_message}); give it another one"


def probe(address: str, authorities: str | None) -> str | None:
    """Look at the certificate of a server that speaks TLS at once, at `host:port`; returns its fault, if it has one.

    authorities: a file (PEM); None takes those of the system. What has no certificate to look at has no fault either.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        context = ssl.create_default_context(cafile=authorities)
        with (
            socket.create_connection((host, int(port)), _PROBE_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return None
    except ssl.SSLCertVerificationError as error:
        return fault(error, host, authorities or "the system's list")
    except OSError:
        return None
