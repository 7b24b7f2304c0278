"""opencode 2.x: the same program name as opencode 1, and a launch of its own.

Its identity is that of `guard.agents.opencode`, which asks for this adapter where the binary says
that it is a later release. What is known of 2.x was run on a build of July 2026 or read in sources
and documentation since; no release could be had. So a launch rests on `guard.agents.proved`.

Hot-path module.
"""
