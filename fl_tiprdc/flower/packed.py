"""Messages whose content travels in one piece.

Flower sends each array and each record of a message in a request of its own, four times between the server's
app and a client's. A training message of 8 arrays is 19 objects; with ten clients, requests took most of an exchange.
Here all of a content is one value of bytes: 3 objects, however many arrays there are. The bytes are Flower's own
(`recorddict_to_proto`), so both sides read back what was put in.
"""

from collections.abc import Callable, Iterable

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as ProtoRecordDict

from fl_tiprdc.federated.quorum import QuorumGrid

PACKED, BYTES = "packed", "bytes"


def pack(content: RecordDict) -> RecordDict:
    """Pack a content as one value."""
    return RecordDict({PACKED: ConfigRecord({BYTES: recorddict_to_proto(content).SerializeToString()})})


def is_packed(content: RecordDict) -> bool:
    """Return whether a content is what `pack` makes."""
    return set(content) == {PACKED} and isinstance(content[PACKED], ConfigRecord)


def unpack(content: RecordDict) -> RecordDict:
    """Return what was packed.

    Raises:
        ValueError: other bytes than those of a content.
    """
    try:
        return recorddict_from_proto(ProtoRecordDict.FromString(content.config_records[PACKED][BYTES]))
    except Exception as error:  # whatever a stranger has put there
        raise ValueError("isn't a packed content") from error


def unpacking(message: Message, context: Context, call: Callable[[Message, Context], Message]) -> Message:
    """Answer a packed message with a packed one, and others as they are: Flower's "mod" of a ClientApp."""
    if not is_packed(message.content):
        return call(message, context)
    message.content = unpack(message.content)
    reply = call(message, context)
    if reply.has_content():
        reply.content = pack(reply.content)
    return reply


class PackingGrid(QuorumGrid):
    """Reach real clients: contents travel in one piece, and replies are looked for often.

    A reply that can't be unpacked stays as it is; the server's check of replies refuses it.
    """

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages; those that share a content share its bytes."""
        asked, packed = list(messages), dict[int, tuple[RecordDict, RecordDict]]()
        for message in asked:
            content = message.content
            if id(content) not in packed:
                packed[id(content)] = content, pack(content)
            message.content = packed[id(content)][1]
        return super().push_messages(asked)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies that are there."""
        replies = list(super().pull_messages(message_ids))
        for reply in replies:
            if reply.has_content() and is_packed(reply.content):
                try:
                    reply.content = unpack(reply.content)
                except ValueError:
                    continue
        return replies
