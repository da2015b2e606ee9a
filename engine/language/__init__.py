"""Source text to a checked tree and a bundle; every issue comes with its place."""

from engine.language.checker import Checked, check
from engine.language.diagnostics import CODES, Diagnostic, Severity, render

__all__ = ["CODES", "Checked", "Diagnostic", "Severity", "check", "render"]
