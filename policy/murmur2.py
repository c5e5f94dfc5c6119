"""Kafka's murmur2 partitioner: which partition a client's records belong to."""

import struct

_MASK = 0xFFFFFFFF
_MULTIPLIER = 0x5BD1E995


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of `key`, as Kafka's Java client and aiokafka choose it."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(key: bytes) -> int:
    """The unsigned 32-bit murmur2 hash with Kafka's seed."""
    length = len(key)
    value = 0x9747B28C ^ length
    whole = length & ~3
    for word in struct.unpack_from(f"<{whole // 4}I", key):
        mixed = word * _MULTIPLIER & _MASK
        mixed = (mixed ^ mixed >> 24) * _MULTIPLIER & _MASK
        value = (value * _MULTIPLIER & _MASK) ^ mixed
    if length > whole:
        value = (value ^ int.from_bytes(key[whole:], "little")) * _MULTIPLIER & _MASK
    value = (value ^ value >> 13) * _MULTIPLIER & _MASK
    return value ^ value >> 15
