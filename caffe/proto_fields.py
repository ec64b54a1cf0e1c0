"""Setting protobuf fields by name, whatever their kind."""

from typing import Any

from google.protobuf.message import Message


def put(message: Message, name: str, value: Any) -> None:
    """Set the field: a message is copied, one value or several are added to a repeated field."""
    target = getattr(message, name)
    if isinstance(value, Message):
        target.CopyFrom(value)
    elif hasattr(target, "extend"):
        target.extend(value if hasattr(value, "extend") else [value])
    else:
        setattr(message, name, value)
