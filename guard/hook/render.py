"""Fills in the hook of a shell: the names that the policy gives it, and what it loads late.

Hot-path module. Pure, but for the templates that it reads.
"""

from __future__ import annotations

from guard.agents.registry import wrapped
from guard.catalog.classify import KEY_SUFFIX, PREFIXES
from guard.hook.templates import QUOTES, fill, quote_fish, quote_sh, template
from guard.policy.values import CompiledPolicy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

ENV = "env:"
"""Before the name of a variable in the subject of an exception."""


def render(
    shell: str,
    policy: CompiledPolicy | None,
    *,
    python: str,
    main_file: str,
    shims: str,
    scratch: str = "",
    comments: bool = True,
) -> str:
    """The hook of `shell` for `policy`; with None only the wrappers and PATH.

    `shims` is the directory of the shims, `scratch` a private directory in which each bash may
    keep a file, or "" for none: then bash does not look for unknown keys.
    """
    quote = QUOTES[shell]
    keys, others, allowed = _names(shell, policy)
    with_suffix = [name for name in keys if name.endswith(KEY_SUFFIX)]
    without_suffix = [name for name in keys if not name.endswith(KEY_SUFFIX)]
    agents = wrapped(policy)
    values = {
        "PYTHON": quote(python),
        "MAIN": quote(main_file),
        "AGENTS": " ".join(agents),
        "ANY_ALIAS": " || ".join(f"\\builtin alias {name}" for name in agents),
        "AGENTS_IN": "|".join(f"*{name}*" for name in agents),
        "DETAILS": "; ".join(f"builtin functions --details --verbose {name}" for name in agents),
        "FIFTH_LINES": " ".join(str(5 * number) for number, _ in enumerate(agents, 1)),
        "DESCRIPTIONS": quote(" ".join(f"{name}, started through routeguard" for name in agents)),
        "SHIMS": quote(shims),
        "SCRATCH": quote(scratch),
        "KEYS_ACTION": policy.keys_action if policy else "flag",
        "KEYS_UNKNOWN": policy.keys_unknown if policy else "ignore",
        "KEYS": " ".join(keys),
        "ENDS": _ends(shell, without_suffix, policy.gateway_keys if policy else ()),
        "PATTERN": "|".join([f"[A-Za-z0-9_]+{KEY_SUFFIX}", *without_suffix]),
        "SET_NAMES": _set(keys),
        "SET_WITHOUT_SUFFIX": _set(without_suffix),
        "STEMS": " ".join(name.removesuffix(KEY_SUFFIX) for name in with_suffix),
        "ANY_SET": "".join(f"${{{name}+x}}" for name in without_suffix),
        "SET_KEYS": "".join(f"${{{name}+{name} }}" for name in without_suffix),
        "OTHER_NAMES": " ".join(others),
        "OTHER_PREFIXES": _alternatives(shell, [prefix for prefix, _, _ in PREFIXES]),
        "ALLOWED": " ".join(f"{name}={until}" for name, until in allowed),
        "ALLOWED_NAMES": " ".join(name for name, _ in allowed),
        "PROXY_PROGRAMS": _any_of(shell, _needles(policy) if policy else ()),
        "PROXY_IMAGES": _any_of(shell, policy.proxy_images if policy else ()),
        "PROXY_NAMES": " ".join(policy.proxy_names if policy else ()),
    }
    text = template(f"hook.{shell}")
    if policy is not None and policy.proxies_prompt != "off":
        text += template(f"line.{shell}")
    text = _for_each(agents, text if comments else _bare(text))
    while _LATE in text:
        text = _late(shell, text, values)
    return fill(text, values)


def _for_each(agents: tuple[str, ...], text: str) -> str:
    """`text` with the part between the two marker comments repeated for each agent."""
    before, _, rest = text.partition("# For each agent:\n")
    wrapper, _, after = rest.partition("# So much for each agent.\n")
    return before + "\n".join(fill(wrapper, {"AGENT": name}) for name in agents) + after


_LATE = "# Until "
_LATE_END = "# So much until then.\n"
_MARKS = (_LATE, "# For each agent:", "# So much ")
_STUBS = {
    "bash": """function {0} {{
    {{ __routeguard_load {0} <<'__routeguard_end__' || __routeguard_load {0} declared
__{1}____routeguard_end__
    }} 2>/dev/null && {0}
}}
""",
    "fish": "function {0} --no-scope-shadowing\n    eval __{1}__; and {0}\nend\n",
}


def _without_comments(text: str) -> str:
    """A template without its comments, which have lines of their own: bash reads each character,
    and its `eval` runs them as commands after `shopt -u interactive_comments`."""
    lines = text.splitlines(keepends=True)
    return "".join(
        line for line in lines if not line.lstrip().startswith("#") or line.startswith(_MARKS)
    )


def _bare(text: str) -> str:
    """A template without its comments and its indentation."""
    lines = _without_comments(text).splitlines(keepends=True)
    return "".join(line.lstrip(" ") for line in lines)


def _late(shell: str, text: str, values: dict[str, str]) -> str:
    """`text` with its first part between `# Until NAME is called:` and `# So much until then.` as
    a text, which becomes code when the function NAME is first called.

    Most shells that are started never need it. A quoted word costs fish half of what the same text
    costs it as commands, a here-document costs bash a tenth. `values` gets it. Nothing is read from
    a file later, so what is read belongs to the rest.
    """
    before, _, rest = text.partition(_LATE)
    part, _, after = rest.partition(_LATE_END)
    heading, _, part = part.partition("\n")
    name = heading.removesuffix(" is called:")
    word = f"LATE{len(values)}"
    # read by `eval`, where bash takes a comment for a command after `shopt -u interactive_comments`
    part = fill(_without_comments(part), values)
    values[word] = part if shell == "bash" else QUOTES[shell](part)
    return before + _STUBS[shell].format(name, word) + after


def _any_of(shell: str, words: Iterable[str]) -> str:
    """Alternatives of a pattern in bash and zsh, a regular expression in fish.

    The words are lower-case letters, digits, blanks and `@/._-`.
    """
    if shell == "fish":
        return quote_fish("|".join(word.replace(".", "\\.") for word in words))
    return "|".join(word.replace(" ", "\\ ") for word in words)


def _needles(policy: CompiledPolicy) -> list[str]:
    """What a typed line holds that the judge has to see, containers aside: a program that is a
    local proxy, or a package of an agent that is refused."""
    found = list(policy.proxy_programs)
    for agent in policy.others:
        if agent.launch == "refuse":
            found += [name[name.rfind("/") :] if "/" in name else name for name in agent.packages]
    return found


def _names(
    shell: str, policy: CompiledPolicy | None
) -> tuple[list[str], list[str], list[tuple[str, int]]]:
    """Names as the prompt needs them: direct keys; other known `*_API_KEY`; excepted until when.

    Only names that `shell` can hold; a launch removes the others. That also makes every one of
    them safe to write into a script without quotes.
    """
    if policy is None:
        return [], [], []
    import time

    gateway = policy.gateway_keys
    keys, others = [], list(gateway)
    for name, (kind, _) in policy.variables.items():
        if kind == "provider_key" and name not in gateway:
            keys.append(name)
        elif name.endswith(KEY_SUFFIX):
            others.append(name)
    now = time.time()
    allowed: dict[str, int] = {}
    for exception in policy.exceptions:
        if exception.subject.startswith(ENV) and exception.until >= now:
            name = exception.subject[len(ENV) :]
            if _holds(shell, name):
                allowed[name] = max(int(exception.until), allowed.get(name, 0))
    return (
        sorted(name for name in keys if _holds(shell, name)),
        sorted({name for name in others if _holds(shell, name)}),
        sorted(allowed.items()),
    )


def _holds(shell: str, name: str) -> bool:
    """Whether `shell` can have a variable of this name: ASCII letters, digits, underscores.

    `302AI_API_KEY` begins with a digit, which only fish allows.
    """
    return name.isascii() and (
        name.isidentifier() or (shell == "fish" and f"_{name}".isidentifier())
    )


def _set(names: list[str]) -> str:
    """Words of an array of zsh that become those of `names` that are set: half of what it costs to
    ask for each in a loop."""
    return " ".join(f"${{{name}+{name}}}" for name in names)


def _ends(shell: str, names: list[str], not_these: Iterable[str]) -> str:
    """A regular expression for each name that ends like one of `names`, or like a key by its name.

    It compiles in a quarter of the time that one of all names takes.
    """
    ends = {name.rpartition("_")[2] for name in (KEY_SUFFIX, *names)}
    skipped = sorted(name for name in not_these if _holds(shell, name))
    return f"^(?!(?:{'|'.join(skipped)})$)(?:.*_)?(?:{'|'.join(sorted(ends))})$"


def _alternatives(shell: str, prefixes: Iterable[str]) -> str:
    """Patterns for `case` that match what begins with one of `prefixes`."""
    separator = " " if shell == "fish" else "|"
    return separator.join(
        quote_sh(prefix) + ("'*'" if shell == "fish" else "*") for prefix in prefixes
    )
