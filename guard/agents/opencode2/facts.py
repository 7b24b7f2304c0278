"""What a launch of opencode 2 is planned from. Hot-path module."""

from __future__ import annotations

from guard.agents import adapter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from guard.agents.opencode import surroundings
    from guard.agents.opencode2 import config, grammar
    from guard.agents.opencode2.directories import Places
    from guard.agents.opencode2.store import Service, Store


class Facts(adapter.Facts):
    """What `planner.survey` found: the command line, the binary, the files around.

    `running` is the user's background service, `left` one that was left behind in our own state
    directory.
    """

    invocation: grammar.Invocation
    found: surroundings.Surroundings
    store: Store
    running: Service | None
    left: Service | None
    suffix: str
    places: Places
    provider_ids: frozenset[str]
    working_directory: str
    # what the last plan pins, for `prepare`
    texts: config.Texts | None = None
    release: adapter.Agent | None = None

    def adapter(self, agent: adapter.Agent) -> adapter.Agent:
        """That of opencode 2."""
        return self.release or agent
