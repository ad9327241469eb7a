"""The messages of kv.proto, which are few and small enough to be put together by hand."""

COOKIE_KEY = "BASIC_PLUGIN"
COOKIE_VALUE = "hello"
SERVICE = "proto.KV"


def fields(*values):
    """Encodes the values as the length-delimited fields 1, 2, ..."""
    encoded = b""
    for number, value in enumerate(values, 1):
        if value:
            encoded += bytes([number << 3 | 2]) + varint(len(value)) + value
    return encoded


def parse(message):
    """The length-delimited fields of a message, by number."""
    values, at = {}, 0
    while at < len(message):
        number, at = message[at] >> 3, at + 1
        length, at = read_varint(message, at)
        values[number], at = message[at : at + length], at + length
    return values


def varint(value):
    encoded = b""
    while value > 127:
        encoded, value = encoded + bytes([value & 127 | 128]), value >> 7
    return encoded + bytes([value])


def read_varint(message, at):
    value = shift = 0
    while True:
        byte, at = message[at], at + 1
        value, shift = value | (byte & 127) << shift, shift + 7
        if byte < 128:
            return value, at
