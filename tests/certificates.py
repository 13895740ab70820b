"""Certificates made for a test run: an authority, and servers that it vouches for, rightly or not any more."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

HOST = "localhost"  # whom certificates are for, unless another name is asked for


class Authority:
    """One authority; `file` has its certificate."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._ca = trustme.CA()
        self._folder = folder
        self.file = folder / f"{name}.pem"
        self._ca.cert_pem.write_to_path(self.file)

    def issue(self, name: str, host: str = HOST, *, lasting: timedelta = timedelta(days=1)) -> tuple[Path, Path]:
        """Write a server's certificate chain and its private key (PKCS 8); returns both files. lasting: from now on."""
        ends = datetime.now(UTC) + lasting
        made = self._ca.issue_cert(host, not_before=ends - timedelta(days=30), not_after=ends)
        certificate, key = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        private = load_pem_private_key(made.private_key_pem.bytes(), None)
        key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return certificate, key
