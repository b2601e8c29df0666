"""Store of one real client: its records on its own disk, and a secret that nobody else has."""

import secrets
from functools import lru_cache
from pathlib import Path

import numpy as np

from fl_tiprdc.data.crowd import Description, Records
from fl_tiprdc.errors import InputError
from fl_tiprdc.federated.client_store import ClientStore, write_records


def write_node_store(root: Path, records: Records, description: Description) -> None:
    """Write one client's records into a folder that only its owner may read.

    The operating system draws the secret. A folder that has one keeps it, so that asking again for a release that was
    published gives the same noise.

    Raises:
        InputError: there are no records.
    """
    if not len(records):
        raise InputError(f"no records for '{root}'")
    root.mkdir(parents=True, exist_ok=True)
    root.chmod(0o700)
    write_records(root, records, [np.arange(len(records))], description)
    secret = root / "secret"
    if not secret.exists():
        secret.touch(0o600)
        secret.write_text(str(secrets.randbits(256)))


class NodeStore(ClientStore):
    """Reads one client's folder.

    Args:
        root: folder that `write_node_store` wrote.
        partition: partition id under which the server knows the client.

    Raises:
        InputError: the folder isn't a client's, or holds several clients.
    """

    def __init__(self, root: Path, partition: int) -> None:
        try:
            super().__init__(root)
            clients = len(self)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"'{root}' holds no client's records: {error}") from None
        if clients != 1:
            raise InputError(f"'{root}' holds the records of {clients} clients")
        self.partition = partition

    def size(self, partition: int) -> int:
        """Return the number of the client's records."""
        return super().size(self._place(partition))

    def records(self, partition: int) -> Records:
        """Return the client's records."""
        return super().records(self._place(partition))

    def secret(self, partition: int) -> int:
        """Return the client's secret."""
        self._place(partition)
        return self._secret

    def _place(self, partition: int) -> int:
        if partition != self.partition:
            raise InputError(f"this is client {self.partition}, not {partition}")
        return 0


@lru_cache(maxsize=8)
def open_node_store(root: str, partition: int) -> NodeStore:
    """Return the store in a client's folder, which a process opens once."""
    return NodeStore(Path(root), partition)
