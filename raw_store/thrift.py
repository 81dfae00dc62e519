"""Thrift's compact protocol, as far as Parquet's page headers and footers need it.

Structs are read into plain dictionaries, field number → (type, value), and written back
the same, so that fields this program knows nothing of survive. Source: the Apache Thrift
specification, "Thrift compact protocol"; the structs are those of `parquet.thrift`.
"""

from typing import Any

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)

Struct = dict[int, tuple[int, Any]]
"""Field number → (type, value). A list is (type of its elements, elements)."""


class ThriftError(ValueError):
    """The bytes are not a struct of the compact protocol."""


def read_struct(data: bytes | memoryview, at: int = 0) -> tuple[Struct, int]:
    """The struct that begins at `at`, and where it ends. Raises `ThriftError`."""
    try:
        return _read_struct(data, at, 0)
    except IndexError:
        raise ThriftError("it ends too early") from None


def write_struct(struct: Struct) -> bytes:
    """The struct's bytes, fields in the order of their numbers."""
    out = bytearray()
    _write_struct(out, struct)
    return bytes(out)


def _read_struct(data: bytes | memoryview, at: int, depth: int) -> tuple[Struct, int]:
    if depth > 32:
        raise ThriftError("structs are nested too deeply")
    struct: Struct = {}
    number = 0
    while True:
        head = data[at]
        at += 1
        if head == 0:
            return struct, at
        kind = head & 0x0F
        if head >> 4:
            number += head >> 4
        else:
            number, at = _read_zigzag(data, at)
        if kind in (TRUE, FALSE):
            struct[number] = (TRUE, kind == TRUE)
        else:
            value, at = _read_value(data, at, kind, depth)
            struct[number] = (kind, value)


def _read_value(data: bytes | memoryview, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in (I16, I32, I64):
        return _read_zigzag(data, at)
    if kind == BINARY:
        size, at = _read_varint(data, at)
        if at + size > len(data):
            raise ThriftError("it ends too early")
        return bytes(data[at : at + size]), at + size
    if kind == STRUCT:
        return _read_struct(data, at, depth + 1)
    if kind in (LIST, SET):
        head = data[at]
        at += 1
        count, of = head >> 4, head & 0x0F
        if count == 15:
            count, at = _read_varint(data, at)
        values = []
        for _ in range(count):
            value, at = _read_value(data, at, of, depth + 1)
            values.append(value)
        return (of, values), at
    if kind in (BYTE, TRUE, FALSE):
        return data[at], at + 1
    if kind == DOUBLE:
        if at + 8 > len(data):
            raise ThriftError("it ends too early")
        return bytes(data[at : at + 8]), at + 8
    raise ThriftError(f"type {kind} is not known")


def _write_struct(out: bytearray, struct: Struct) -> None:
    last = 0
    for number in sorted(struct):
        kind, value = struct[number]
        tag = (TRUE if value else FALSE) if kind == TRUE else kind
        if 0 < number - last <= 15:
            out.append((number - last) << 4 | tag)
        else:
            out.append(tag)
            _write_zigzag(out, number)
        if kind != TRUE:
            _write_value(out, kind, value)
        last = number
    out.append(0)


def _write_value(out: bytearray, kind: int, value: Any) -> None:
    if kind in (I16, I32, I64):
        _write_zigzag(out, value)
    elif kind == BINARY:
        _write_varint(out, len(value))
        out += value
    elif kind == STRUCT:
        _write_struct(out, value)
    elif kind in (LIST, SET):
        of, values = value
        if len(values) < 15:
            out.append(len(values) << 4 | of)
        else:
            out.append(0xF0 | of)
            _write_varint(out, len(values))
        for each in values:
            _write_value(out, of, each)
    elif kind in (BYTE, TRUE, FALSE):
        out.append(value)
    elif kind == DOUBLE:
        out += value
    else:
        raise ThriftError(f"type {kind} is not known")


def _read_varint(data: bytes | memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ThriftError("a number is too long")


def _read_zigzag(data: bytes | memoryview, at: int) -> tuple[int, int]:
    value, at = _read_varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def _write_varint(out: bytearray, value: int) -> None:
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _write_zigzag(out: bytearray, value: int) -> None:
    _write_varint(out, (value << 1) ^ (value >> 63))
