"""As much of Protocol Buffers as writing a file takes: numbers, texts and messages, field by field.

ONNX files are such messages, see `onnx_file`. The encoding: protobuf.dev/programming-guides/encoding.
"""

import struct
from collections.abc import Iterable

VARINT, LENGTH, FIXED_32 = 0, 2, 5


def varint(number: int) -> bytes:
    """Seven bits per byte, the lowest first; a negative one as its 64 bits.

    >>> varint(300).hex()
    'ac02'
    """
    number &= (1 << 64) - 1
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def whole(field: int, number: int) -> bytes:
    """A field with an integer."""
    return varint(field << 3 | VARINT) + varint(number)


def real(field: int, number: float) -> bytes:
    """A field with a float32."""
    return varint(field << 3 | FIXED_32) + struct.pack("<f", number)


def content(field: int, data: bytes | str) -> bytes:
    """A field with a text, bytes, or a message.

    >>> content(2, "testing").hex()
    '120774657374696e67'
    """
    data = data.encode() if isinstance(data, str) else data
    return varint(field << 3 | LENGTH) + varint(len(data)) + data


def wholes(field: int, numbers: Iterable[int]) -> bytes:
    """A repeated field with integers, packed."""
    return content(field, b"".join(map(varint, numbers)))


def reals(field: int, numbers: Iterable[float]) -> bytes:
    """A repeated field with float32s, packed."""
    return content(field, b"".join(struct.pack("<f", number) for number in numbers))
