"""TLS: a certificate and its key, checked before the server listens."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NoReturn

from onnxport.errors import SettingsError
from onnxport.settings import Settings

_DECRYPT = "openssl pkey -in ENCRYPTED -out PLAIN"


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """TLS 1.2 or newer with the settings' certificate, or None where they name none.

    Raises SettingsError, which names the file at fault.
    """
    cert, key = settings.tls_cert, settings.tls_key
    if not cert and not key:
        return None
    if not cert or not key:
        given, lacking = ("--tls-cert", "--tls-key") if cert else ("--tls-key", "--tls-cert")
        raise SettingsError(f"{given} is given without {lacking}; give both, or neither")
    _refuse_unlike(Path(cert), "--tls-cert", b"-----BEGIN CERTIFICATE-----")
    _refuse_unlike(Path(key), "--tls-key", b"PRIVATE KEY-----")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, cert, key)
    return context


def _load(context: ssl.SSLContext, cert: str, key: str) -> None:
    def encrypted() -> NoReturn:  # instead of asking for the passphrase at a terminal
        raise SettingsError(
            f"--tls-key {key} is encrypted, and nobody is there to type its passphrase; "
            f"name a plain file ({_DECRYPT})"
        )

    try:
        context.load_cert_chain(cert, key, password=encrypted)
    except ssl.SSLError as err:
        if err.reason == "KEY_VALUES_MISMATCH":
            raise SettingsError(
                f"--tls-key {key} is not the key of the first certificate in {cert}; name the two that "
                "belong together, the server's own certificate before those of its issuers"
            ) from err
        raise SettingsError(
            f"--tls-cert {cert} and --tls-key {key} can't be used ({err.reason}); "
            "name a certificate chain and its key, both in PEM"
        ) from err


def _refuse_unlike(path: Path, flag: str, sign: bytes) -> None:
    """Refuses a file that can't be read or lacks the sign of what it should hold; OpenSSL doesn't tell which it was."""
    try:
        content = path.read_bytes()
    except OSError as err:
        raise SettingsError(f"{flag} {path}: {err.strerror}; name a file that can be read") from err
    if sign not in content:
        what = "certificate" if b"CERT" in sign else "private key"
        raise SettingsError(
            f"{flag} {path} holds no {what} in PEM (-----BEGIN …); name one that does"
        )
