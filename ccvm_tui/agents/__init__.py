"""Coding agents: the configuration that crosses into a guest, and what is removed from it.

=============  ====================================================================================
``table``      the table of agents: layer, files, credentials, keys, hooks
``sanitize``   sanitizers for the files of agents
``secrets``    removal of secrets from parsed values
``jsonc``      JSON with comments
``gitconfig``  the global configuration of Git, sanitized
``hooks``      hooks that report whether an agent is waiting
``context``    the text for the agent about the guest in which it works
=============  ====================================================================================

Everything here is data or a pure function. The keeper reads the files (``ccvm_tui.keeper.staging``).
"""

from __future__ import annotations

from ccvm_tui.agents.sanitize import HOME, Facts
from ccvm_tui.agents.table import AGENTS, CREDENTIALS, Agent, Item

__all__ = ["AGENTS", "CREDENTIALS", "HOME", "Agent", "Facts", "Item"]
