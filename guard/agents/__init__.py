"""Coding agents: who they are, and for each a folder that says how its launch is guarded."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from guard.agents.adapter import Agent


class Identity:
    """Who an agent is: data alone, so that a shell start asks for names and loads no adapter.

    The package of an agent's folder holds a subclass, and `adapter.py` in it a subclass of that
    and of `adapter.Agent`, with an instance called `AGENT`.
    """

    id = ""
    """Name in the policy, in `guard.catalog` and in reports."""
    title = ""
    """What people call it."""
    names: tuple[str, ...] = ()
    """What it is started as: these are wrapped by the hooks and get a shim."""
    example = ""
    """A command that asks a model, as help texts show it."""
    logout = ""
    """The command that removes a login from its store, with capitals for what to fill in."""
    packages: tuple[str, ...] = ()
    """npm packages that hold it; the first one is the one to install."""

    directories: tuple[str, ...] = ()
    """Its variables that name a directory of the user's (settings, logins, sessions): kept, and
    refused where a project chooses one of its own."""
    keeps: frozenset[str] = frozenset()
    """Its variables that change neither route, credentials nor code: a name, or NAME=VALUE."""

    def adapter(self) -> Agent:
        """The adapter of this agent, loaded when it is first asked for."""
        agent: Agent = __import__(f"{type(self).__module__}.adapter", fromlist=["AGENT"]).AGENT
        return agent
