"""A value that is used but never shown."""

import hmac
from typing import NoReturn


class Secret:
    """A password or key; its text leaves only through `reveal`.

    Printing, formatting and logging show whether it is set, nothing more; pickling and JSON encoding refuse.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text, for the one call that needs it."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "set" if self._text else "not set"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(type(self))  # the text must not show in an order of a set either

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not written anywhere; reveal() it where it is needed")
