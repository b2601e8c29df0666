"""Keys, seeds and masks of secure aggregation; all primitives are those of the cryptography package."""

from functools import lru_cache

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fl_tiprdc.secagg.fixed_point import Words

KEY, SEED = 32, 16  # bytes
_ZERO_NONCE = bytes(12)  # each key encrypts one text


def derive_bytes(secret: bytes, purpose: str, context: bytes = b"", length: int = SEED) -> bytes:
    """HKDF: bytes for one purpose and context."""
    return HKDF(hashes.SHA256(), length, None, purpose.encode() + b"\x1f" + context).derive(secret)


@lru_cache(maxsize=4096)
def private_key(seed: bytes) -> X25519PrivateKey:
    """The X25519 key that a seed gives."""
    return X25519PrivateKey.from_private_bytes(derive_bytes(seed, "x25519", length=KEY))


@lru_cache(maxsize=4096)
def public_key(seed: bytes) -> bytes:
    """Its public part."""
    return private_key(seed).public_key().public_bytes_raw()


def agree(seed: bytes, other: bytes) -> bytes:
    """What the owner of a seed and that of another public key both know, and nobody else.

    Raises:
        ValueError: no public key.
    """
    return private_key(seed).exchange(X25519PublicKey.from_public_bytes(other))


@lru_cache(maxsize=32768)
def agree_for_long(seed: bytes, other: bytes) -> bytes:
    """As `agree`, for keys that last: a pair meets in many exchanges."""
    return agree(seed, other)


def seal(key: bytes, text: bytes) -> bytes:
    """Encrypt and authenticate the one text that a key is for."""
    return AESGCM(key).encrypt(_ZERO_NONCE, text, None)


def unseal(key: bytes, sealed: bytes) -> bytes:
    """Undo `seal`.

    Raises:
        cryptography.exceptions.InvalidTag: it was changed, or is another's.
    """
    return AESGCM(key).decrypt(_ZERO_NONCE, sealed, None)


class MaskStream:
    """Expands seeds to masks of one length, by AES in counter mode, in memory that is reserved once.

    Args:
        numbers: words in a mask.
    """

    def __init__(self, numbers: int) -> None:
        self._zeros = bytes(8 * numbers)
        self._buffer = bytearray(len(self._zeros) + 15)
        self._words = np.frombuffer(self._buffer, "<u8", count=numbers)

    def expand(self, seed: bytes) -> Words:
        """The mask of a seed that is used for it alone; valid until the next call."""
        encryptor = Cipher(algorithms.AES(seed), modes.CTR(bytes(16))).encryptor()
        encryptor.update_into(self._zeros, self._buffer)
        return self._words
