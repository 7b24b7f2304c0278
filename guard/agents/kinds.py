"""The kinds of commands that the command line of an agent can be. Hot-path module."""

from __future__ import annotations

HARMLESS = "harmless"
"""Kind of a command that calls no model and opens no project: started with a clean environment."""
LOCAL = "local"
"""Kind of a command that calls no model, but opens the project, whose code may then run."""
GUARDED = "guarded"
"""Kind of a command that may call a model: pinned to the gateway."""
SERVER = "server"
"""Kind of a command that lets other programs call models."""
REMOTE = "remote"
"""Kind of a command that hands its calls to a server that was started elsewhere."""

LEFT_OUT = "left-out"
"""Kind of every command of an agent that the policy leaves alone."""

NO_MODEL = (HARMLESS, LOCAL)
"""The kinds that call no model."""
