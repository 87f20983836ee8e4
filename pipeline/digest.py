"""SHA-256 without OpenSSL, for the path whose whole budget is 75 ms."""

from __future__ import annotations


def sha256_hex(data: bytes) -> str:
    """CPython's own SHA-256, which is named by version; hashlib would load OpenSSL as well, which takes 4 ms."""
    for name in ("_sha2", "_sha256"):
        try:
            return str(__import__(name).sha256(data).hexdigest())
        except ImportError:
            continue
    import hashlib

    return hashlib.sha256(data).hexdigest()
