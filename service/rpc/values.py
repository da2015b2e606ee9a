"""JSON values and the messages that stand for them."""

from __future__ import annotations

from collections.abc import Mapping

from service.rpc.decisions_pb2 import Value

INT64 = range(-(1 << 63), 1 << 63)


def plain(value: Value) -> object:
    """The JSON value of a message."""
    match value.WhichOneof("kind"):
        case "text":
            return value.text
        case "integer":
            return value.integer
        case "number":
            return value.number
        case "boolean":
            return value.boolean
        case "list":
            return [plain(each) for each in value.list.values]
        case "object":
            return members(value.object.members)
        case _:
            return None


def members(given: Mapping[str, Value]) -> dict[str, object]:
    """The members of an object."""
    return {name: plain(value) for name, value in given.items()}


def message(value: object) -> Value:
    """The message of a JSON value, written into a new one."""
    made = Value()
    write(made, value)
    return made


def write(into: Value, value: object) -> None:
    """Write a JSON value into an empty message. A whole number beyond 64 bits becomes the nearest number.

    Raises:
        TypeError: it is no JSON value.
    """
    match value:
        case None:
            pass
        case bool():
            into.boolean = value
        case int() if value in INT64:
            into.integer = value
        case int() | float():
            into.number = value
        case str():
            into.text = value
        case list() | tuple():
            into.list.SetInParent()
            for each in value:
                write(into.list.values.add(), each)
        case Mapping():
            into.object.SetInParent()
            for name, each in value.items():
                write(into.object.members[name], each)
        case _:
            raise TypeError(f"{type(value).__name__} is no JSON value")
