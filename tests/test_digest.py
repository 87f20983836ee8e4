import hashlib

from pipeline.digest import sha256_hex


def test_it_is_sha256():
    assert sha256_hex(b"definition") == hashlib.sha256(b"definition").hexdigest()
