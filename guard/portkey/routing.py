"""What Portkey will do with a call, as far as the account's configs tell: pure, in words.

The shape of a config object is Portkey's (facts: portkey.md 4.4). A config on the key, or one
that the call names, decides before `@slug` and `x-portkey-provider` do (hazard 3).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from guard.errors import counted
from guard.portkey.account import Account
from guard.portkey.shapes import ConfigRow

_MAX_DEPTH = 8
_MODES = ("single", "loadbalance", "fallback", "conditional")


@dataclass(frozen=True, slots=True)
class ConfigLine:
    """One line of a config's tree: `text`, and the lines below it."""

    text: str
    below: tuple[ConfigLine, ...] = ()


@dataclass(frozen=True, slots=True)
class Prediction:
    """What becomes of a call.

    `known` tells whether the account's data decide it. `target` is whom the call likely reaches
    (`@slug`, or `@slug/model`), "" where that is open. `sentence` says it in words, `tree` is the
    config behind it.
    """

    known: bool
    sentence: str
    target: str = ""
    config: str = ""
    tree: ConfigLine | None = None


def tree(config: dict[str, Any], title: str = "") -> ConfigLine:
    """`config` as a tree: strategy, targets in their order, retries, cache."""
    return ConfigLine(title or _headline(config), tuple(_lines(config, 0)))


def drawn(node: ConfigLine) -> list[str]:
    """`node` as lines with branches, for a terminal."""
    return [node.text, *_branches(node, "")]


def _branches(node: ConfigLine, prefix: str) -> list[str]:
    lines = []
    for index, child in enumerate(node.below):
        last = index == len(node.below) - 1
        lines.append(f"{prefix}{'└─ ' if last else '├─ '}{child.text}")
        lines += _branches(child, prefix + ("   " if last else "│  "))
    return lines


def predict(
    account: Account, *, provider: str = "", model: str = "", config: str = ""
) -> Prediction:
    """What becomes of a call for `model` that names `provider` (a slug) and `config` (a slug).

    A model may name its provider itself: `@slug/model`. Nothing here asks the network.
    """
    head, slash, rest = model.partition("/")
    named = (
        head.removeprefix("@") if model.startswith("@") and slash else provider.removeprefix("@")
    )
    bare = rest if model.startswith("@") and slash else model
    direct = f"@{named}/{bare}" if named and bare else f"@{named}" if named else ""
    attached = account.default_config
    if config:
        return _by_config(account, config, "the config that the policy names", named, bare)
    if attached.value:
        return _by_config(account, attached.value, "the config on the key", named, bare)
    if attached.known:
        if not named:
            return Prediction(
                True,
                "refused: the call names no provider, and no config is on the key "
                f"({_fix(account)})",
            )
        return Prediction(True, f"@{named}{_status(account, named)}, with no fallback", direct)
    unknown = (
        f"this key may not read its own settings (it lacks {attached.scope})"
        if attached.state == "hidden"
        else attached.reason or "the gateway did not say"
    )
    if named:
        return Prediction(
            False,
            f"@{named}{_status(account, named)}, unless a config on the key decides otherwise; "
            f"unknown: {unknown}",
            direct,
        )
    if account.observed:
        return Prediction(
            False, f"{account.observed}, when it was last probed; rules unknown: {unknown}"
        )
    return Prediction(False, f"unknown: {unknown}")


def sentence(account: Account) -> str:
    """The account in one sentence: how many providers, and where a call goes that names none."""
    seen = account.providers
    if seen.known:
        count = len(seen.value or ())
        least = "at least " if account.providers_from == "models" else ""
        reach = f"This key reaches {least}{counted(count, 'provider')}"
    elif seen.state == "hidden":
        reach = f"Which providers this key reaches is not visible to it (it lacks {seen.scope})"
    else:
        reach = f"Which providers this key reaches could not be asked ({seen.reason})"
    return f"{reach}; a call that names no provider {_goes(predict(account))}."


def _goes(prediction: Prediction) -> str:
    if prediction.known and prediction.target:
        return f"goes to {prediction.sentence}"
    if prediction.known and prediction.sentence.startswith("refused"):
        return f"is {prediction.sentence}"
    if prediction.known:
        return f"is decided by {prediction.sentence}"
    if not prediction.sentence.startswith("unknown: "):
        return f"was {prediction.sentence}"
    return f"has an unknown route: {prediction.sentence.removeprefix('unknown: ')}"


def _fix(account: Account) -> str:
    return "name one: @slug/model" if account.providers.value else "name @slug/model"


def _status(account: Account, slug: str) -> str:
    for row in account.providers.value or ():
        if row.slug == slug:
            vendor = f" ({row.provider})" if row.provider and row.provider != slug else ""
            return vendor + ("" if row.status in (None, "active") else f", which is {row.status}")
    if account.providers_from == "providers" and account.providers.known:
        return ", which is not among the providers of this key"
    return ""


def _by_config(account: Account, name: str, what: str, provider: str, model: str) -> Prediction:
    row = account.config(name)
    if row is None or row.config is None:
        scope = account.configs.scope or "configs.read"
        why = (
            f"it lacks {scope}"
            if account.configs.state == "hidden" or row is not None
            else account.configs.reason or "it is not in this workspace"
        )
        return Prediction(
            False, f"{what} ({name}) decides; unknown: this key may not read it ({why})", "", name
        )
    first, steps = _first(row.config, 0)
    if not first and not steps and provider:
        # a config of retries or a cache alone leaves the choice to the call
        first = f"@{provider}"
    target = _with_model(first, model)
    words = _route_words(row, steps) + _unusable(account, [first, *steps])
    return Prediction(
        True,
        f"{target} by {what} ({row.slug}){words}" if target else f"{what} ({row.slug}){words}",
        target,
        row.slug,
        tree(row.config, row.name or row.slug),
    )


def _unusable(account: Account, targets: list[str]) -> str:
    """A clause about the `targets` whose provider is not active, "" if all are."""
    named = {target.partition("/")[0].removeprefix("@") for target in targets}
    said = [
        f"@{row.slug} is {row.status}"
        for row in account.providers.value or ()
        if row.slug in named and row.status not in (None, "active")
    ]
    return f"; {', '.join(said)}" if said else ""


def _with_model(target: str, model: str) -> str:
    return f"{target}/{model}" if target and model and "/" not in target else target


def _route_words(row: ConfigRow, steps: list[str]) -> str:
    config = row.config or {}
    mode = _mode(config)
    if mode == "fallback" and len(steps) > 1:
        return f" and falls back to {', then '.join(steps[1:])}{_on(config)}"
    if mode == "loadbalance":
        return f", one of {len(steps)} by weight: {', '.join(steps)}"
    if mode == "conditional":
        return f", by its conditions; the default is {_default_target(config)}"
    if mode and mode not in _MODES:
        return f", whose mode {mode!r} Portkey does not accept"
    return ""


def _strategy(config: dict[str, Any], name: str) -> Any:
    strategy = config.get("strategy")
    return strategy.get(name) if isinstance(strategy, dict) else None


def _mode(config: dict[str, Any]) -> str:
    mode = _strategy(config, "mode")
    return mode if isinstance(mode, str) else ""


def _codes(of: Any, otherwise: str) -> str:
    """` on 429, 503` for a list of status codes, else `otherwise`."""
    return f" on {', '.join(map(str, of))}" if isinstance(of, list) and of else otherwise


def _on(config: dict[str, Any]) -> str:
    return _codes(_strategy(config, "on_status_codes"), " on any error")


def _default_target(config: dict[str, Any]) -> str:
    default = _strategy(config, "default")
    for target in _targets(config):
        if default and target.get("name") == default:
            return _who(target) or str(default)
    return str(default or "not set")


def _targets(config: dict[str, Any]) -> list[dict[str, Any]]:
    targets = config.get("targets")
    return [t for t in targets if isinstance(t, dict)] if isinstance(targets, list) else []


def _first(config: dict[str, Any], depth: int) -> tuple[str, list[str]]:
    """Whom the config asks first, "" where it leaves that open; and each of its own targets."""
    targets = _targets(config)
    steps = [_who(target) or _headline(target) for target in targets]
    if depth > _MAX_DEPTH:
        return "", steps
    mode = _mode(config)
    if not targets:
        return _who(config), steps
    if mode in ("fallback", "single", ""):
        return _who(targets[0]) or _first(targets[0], depth + 1)[0], steps
    return "", steps


def _who(target: dict[str, Any]) -> str:
    """Whom one target names: `@slug`, with the model it forces; "" if it names nobody."""
    params = target.get("override_params")
    model = params.get("model") if isinstance(params, dict) else None
    model = model if isinstance(model, str) else ""
    if model.startswith("@"):
        return model
    who = target.get("provider") or target.get("virtual_key") or ""
    if not isinstance(who, str) or not who:
        return ""
    # a virtual key is the older name of a provider, with the same slug (portkey.md 3.1)
    slug = who if who.startswith("@") or not target.get("virtual_key") else f"@{who}"
    return f"{slug}/{model}" if model else slug


def _headline(config: dict[str, Any]) -> str:
    mode = _mode(config)
    return {
        "fallback": f"fallback{_on(config)}",
        "loadbalance": "load balance",
        "conditional": "conditional",
        "single": "single",
        "": _who(config) or "no strategy",
    }.get(mode, f"{mode} (not a mode that Portkey accepts)")


def _lines(config: dict[str, Any], depth: int) -> Iterator[ConfigLine]:
    if depth > _MAX_DEPTH:
        yield ConfigLine("…")
        return
    mode = _mode(config)
    if mode and depth == 0:
        yield ConfigLine(_headline(config), tuple(_target_lines(config, depth)))
    else:
        if depth == 0 and _who(config):
            yield ConfigLine(_who(config))
        yield from _target_lines(config, depth)
    retry, cache = config.get("retry"), config.get("cache")
    if isinstance(retry, dict) and retry.get("attempts"):
        times = "once" if retry["attempts"] == 1 else f"{retry['attempts']} times"
        yield ConfigLine(f"retries {times}{_codes(retry.get('on_status_codes'), '')}")
    if isinstance(cache, dict) and cache.get("mode"):
        age = f", {cache['max_age']} s" if cache.get("max_age") else ""
        yield ConfigLine(f"cache {cache['mode']}{age}")
    if isinstance(config.get("request_timeout"), int):
        yield ConfigLine(f"gives up after {config['request_timeout']} ms")
    for name in ("input_guardrails", "output_guardrails"):
        if config.get(name):
            yield ConfigLine(name.replace("_", " "))


def _target_lines(config: dict[str, Any], depth: int) -> Iterator[ConfigLine]:
    mode, targets = _mode(config), _targets(config)
    weights = [t.get("weight", 1) for t in targets]
    total = sum(w for w in weights if isinstance(w, int | float))
    conditions = _conditions(config)
    for number, target in enumerate(targets, 1):
        text = _who(target) or _headline(target)
        if mode == "fallback":
            text = f"{number}. {text}"
        elif mode == "loadbalance":
            weight = target.get("weight", 1)
            share = 100 * weight / total if isinstance(weight, int | float) and total > 0 else 0
            text = f"{share:.0f} % {text}"
        elif mode == "conditional":
            name = target.get("name")
            when = [query for query, then in conditions if then == name]
            if name and name == _strategy(config, "default"):
                when.append("otherwise")
            text = f"{' or '.join(when) or 'never'}: {text}"
        yield ConfigLine(text, tuple(_lines(target, depth + 1)))


def _conditions(config: dict[str, Any]) -> list[tuple[str, str]]:
    conditions = _strategy(config, "conditions")
    return [
        (f"if {_query(condition.get('query'))}", str(condition.get("then", "")))
        for condition in (conditions if isinstance(conditions, list) else ())
        if isinstance(condition, dict)
    ]


_OPERATORS = {
    "$eq": "=",
    "$ne": "is not",
    "$gt": ">",
    "$gte": ">=",
    "$lt": "<",
    "$lte": "<=",
    "$in": "in",
    "$nin": "not in",
    "$regex": "matches",
}


def _query(query: Any, depth: int = 0) -> str:
    if not isinstance(query, dict) or depth > _MAX_DEPTH:
        return "…"
    parts = []
    for key, test in query.items():
        if key in ("$and", "$or") and isinstance(test, list):
            word = " and " if key == "$and" else " or "
            parts.append("(" + word.join(_query(item, depth + 1) for item in test) + ")")
        elif isinstance(test, dict):
            parts += [f"{key} {_OPERATORS.get(op, op)} {value}" for op, value in test.items()]
        else:
            parts.append(f"{key} = {test}")
    return " and ".join(parts) or "…"
