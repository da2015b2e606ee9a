"""What is wrong with settings: every mistake with its place."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Issue:
    """One mistake: where, what, and the line with a caret where there is a line."""

    place: str
    message: str
    excerpt: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" + (f"\n{self.excerpt}" if self.excerpt else "")


class SettingsError(Exception):
    """Settings that are refused; the message has a paragraph for each mistake."""

    def __init__(self, issues: Sequence[Issue]) -> None:
        super().__init__("\n".join(map(str, issues)))
        self.issues = tuple(issues)
