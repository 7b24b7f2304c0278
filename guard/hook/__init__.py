"""The shell hook: `shell/hook.*` filled in with the compiled policy and our own paths.

Everything here is on the path of `routeguard hook`, which runs at the start of a shell.
"""

SHELLS = ("bash", "zsh", "fish")
"""Shells that have a hook."""

LOADS = {
    "bash": ('eval "$(routeguard hook bash)"', "~/.bashrc"),
    "zsh": ('eval "$(routeguard hook zsh)"', "~/.zshrc"),
    "fish": ("routeguard hook fish | source", "~/.config/fish/config.fish"),
}
"""The line that loads each hook, and the start file it belongs to."""
