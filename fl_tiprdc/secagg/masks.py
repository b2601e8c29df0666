"""Keys, seeds and masks of secure aggregation; all primitives are those of the cryptography package."""

from functools import lru_cache

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fl_tiprdc.secagg.fixed_point import Words

KEY_BYTES, SEED_BYTES = 32, 16
_ZERO_NONCE = bytes(12)  # safe, as each key encrypts one text only


def derive_bytes(secret: bytes, purpose: str, context: bytes = b"", length: int = SEED_BYTES) -> bytes:
    """Return `length` bytes that HKDF derives from a secret for one purpose and context."""
    return HKDF(hashes.SHA256(), length, None, purpose.encode() + b"\x1f" + context).derive(secret)


@lru_cache(maxsize=4096)
def private_key(seed: bytes) -> X25519PrivateKey:
    """Return the X25519 key that derives from a seed."""
    return X25519PrivateKey.from_private_bytes(derive_bytes(seed, "x25519", length=KEY_BYTES))


@lru_cache(maxsize=4096)
def public_key(seed: bytes) -> bytes:
    """Return the public part of the key that derives from a seed."""
    return private_key(seed).public_key().public_bytes_raw()


def agree(seed: bytes, other: bytes) -> bytes:
    """Return the secret that only the owner of a seed and the owner of another public key can compute.

    Raises:
        ValueError: `other` is no public key.
    """
    return private_key(seed).exchange(X25519PublicKey.from_public_bytes(other))


@lru_cache(maxsize=32768)
def agree_for_long(seed: bytes, other: bytes) -> bytes:
    """Return `agree`'s secret from a cache, for keys that last: a pair meets in many exchanges."""
    return agree(seed, other)


def seal(key: bytes, text: bytes) -> bytes:
    """Return a text encrypted and authenticated by a key that is used for no other text."""
    return AESGCM(key).encrypt(_ZERO_NONCE, text, None)


def unseal(key: bytes, sealed: bytes) -> bytes:
    """Return the text that `seal` encrypted with this key.

    Raises:
        cryptography.exceptions.InvalidTag: the text was changed, or sealed with another key.
    """
    return AESGCM(key).decrypt(_ZERO_NONCE, sealed, None)


class MaskStream:
    """Expands seeds to masks of one length by AES in counter mode, in memory that is reserved once.

    Args:
        numbers: number of words in a mask.
    """

    def __init__(self, numbers: int) -> None:
        self._zeros = bytes(8 * numbers)
        self._buffer = bytearray(len(self._zeros) + 15)
        self._words = np.frombuffer(self._buffer, "<u8", count=numbers)

    def expand(self, seed: bytes) -> Words:
        """Return the mask [numbers] of a seed, which must be used for nothing else; it is valid until the next call."""
        encryptor = Cipher(algorithms.AES(seed), modes.CTR(bytes(16))).encryptor()
        encryptor.update_into(self._zeros, self._buffer)
        return self._words
