"""The compiled network, shared by all sessions, and the working memory of one session.

Forgy 1982 and Doorenbos 1995 in a form for many small sessions: nodes hold no session state, equal conditions are one
node, and a session keeps nothing for a rule that has nothing to remember.
"""

from engine.rete import network
from engine.rete.memory.memory import Memory
from engine.rete.network import Network
from engine.rete.session.stored import SnapshotError
from engine.rete.view import View

IS_COMPILED = not network.__file__.endswith(".py")
"""Whether this installation runs the network as machine code, compiled from the same files."""

__all__ = ["IS_COMPILED", "Memory", "Network", "SnapshotError", "View"]
