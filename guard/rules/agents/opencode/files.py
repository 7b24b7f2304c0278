"""Files of opencode in a project that leave the gateway, load code, or cannot be read."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from guard.agents.covered import Coverage, Uncovered, content_digest
from guard.agents.opencode import frontmatter, keeping, markdown, preflight
from guard.agents.opencode.surroundings import CODE, CONFIG, MARKDOWN, role_of
from guard.agents.opencode2 import kept
from guard.files import jsonc
from guard.files.read import MalformedError
from guard.findings import FORBIDS, Finding, unreadable
from guard.late import late
from guard.rules.agents.opencode.calls import router
from guard.rules.agents.settings import base_urls, is_gateway, leads_away
from guard.rules.files.scope import Placed, Scope, Span, between
from guard.sources.positions import json_nodes
from guard.sources.positions.nodes import MAP, SCALAR, Node
from guard.sources.positions.text import Text

if TYPE_CHECKING:
    from guard.policy.values import CompiledPolicy
    from guard.sources.file import SourceFile

_FRONTMATTER = late(r"\ufeff?---[ \t]*\r?\n(.*?)(?:^---[ \t]*\r?$|\Z)", re.S | re.M)


class OpencodeFiles:
    """RG201, RG206, RG301, RG302 and RG303 in what opencode reads in a project."""

    name = "opencode_files"
    needles: tuple[bytes, ...] = (b"",)

    def wants(self, path: str, name: str) -> bool:
        """The files that opencode reads in a project or a home directory."""
        return role_of(path) != ""

    def check(self, file: SourceFile, policy: CompiledPolicy) -> Iterator[Finding]:
        """Findings in the file; none of code that an exception covers with all it brings along."""
        scope = Scope(file, policy, "the agent")
        names = None
        role = role_of(file.path)
        if role == CODE:
            place = Span(0, len(file.line(1)))
            found = iter([_code(scope, place, file.path, preflight.IMPORTED)])
        elif role == MARKDOWN:
            found = _markdown(scope)
        else:
            try:
                content = jsonc.decode(file.data)
                if content is None:
                    return
                root = json_nodes.document(file.text)
            except jsonc.UnreadableError as error:
                yield scope.unreadable(_noticed(file, error), str(error))
                return
            found = _config(scope, content, root)
            names = preflight.named_code(content)
        asked, missing = False, None
        for finding in found:
            if finding.rule == "RG301":
                missing = missing if asked else _missing(scope, names)
                asked = True
                if missing is None:
                    continue
                finding.message += missing.why
                finding.fix = preflight.without_code(missing)
            yield finding


def _missing(scope: Scope, names: Collection[str] | None) -> Uncovered | None:
    """What no exception covers of the file, with the content that is checked, and what it needs.

    `names` are those of the code that a configuration names.
    """
    file = scope.file
    missing = Coverage(scope.policy, time.time()).missing(file.absolute, names)
    import hashlib  # here: few files are allowed by their content

    if missing is None and content_digest(file.absolute) != hashlib.sha256(file.data).hexdigest():
        return Uncovered(file.absolute, "; it has changed since it was allowed")
    return missing


def _code(scope: Scope, place: Placed, subject: str, what: str) -> Finding:
    return scope.finding("RG301", place, subject, what + preflight.SENDS)


def unread(path: str, why: str, absolute: str = "") -> Finding | None:
    """The finding for a file of an agent that cannot be read; None for one that none reads.

    `absolute` is where it lies, "" if that is not known.
    """
    role = role_of(path)
    if role == CODE:
        fix = preflight.without_code(Uncovered(absolute, ""))
        return Finding("RG301", path, preflight.IMPORTED + preflight.SENDS, path=path, fix=fix)
    if role == CONFIG:
        found = unreadable(path, why)
        found.path = path
        return found
    return None


def _config(scope: Scope, content: dict[str, Any], root: Node) -> Iterator[Finding]:
    policy = scope.policy
    unclear = preflight.unclear_in(content, {})
    if unclear:
        yield scope.unreadable(_holding(root, unclear), unclear)
        return
    forbids: list[str] = []
    if policy.project_config == "read":
        # which release reads it is not known: each refuses what it cannot read
        forbids = [*keeping.unreadable_in(content), *kept.unreadable_in(content)]
    for why in dict.fromkeys(forbids):
        yield scope.unreadable(0, why, FORBIDS)
    for keys, why in preflight.code_in(content):
        yield _code(scope, between(*_entry(root, keys)), ".".join(keys), why)
    yield from _providers(scope, root)
    for statements in (root.get("policies"), root.get("experimental", "policies")):
        yield from _policies(scope, statements)
    yield from _models(scope, root)


def _noticed(file: SourceFile, error: Exception) -> int:
    """Where `error` was noticed, or where the keys stand for which the file is refused."""
    offset = error.offset if isinstance(error, MalformedError) else 0
    try:
        nodes = [] if offset else json_nodes.document(file.text).walk()
    except MalformedError:
        return offset
    for node in nodes:
        names = [key.value for key, _ in node.pairs]
        if len(set(names)) != len(names) or "__proto__" in names:
            return node.start
    return offset


def _holding(root: Node, unclear: str) -> int:
    """Where the text stands for which `preflight.unclear_in` gives this answer."""
    for node in root.walk():
        for key, value in node.pairs:
            if preflight.unclear_in({key.value: None}, {}) == unclear:
                return key.start
            for text in value.strings():
                if preflight.unclear_in({"": text.value}, {}) == unclear:
                    return text.start
    return root.start


def _entry(root: Node, keys: tuple[str, ...]) -> tuple[Node, Node]:
    """The last of `keys`, which lead there from the map `root`, and its value."""
    key = value = root
    for name in keys:
        key, value = next(pair for pair in value.pairs if pair[0].value == name)
    return key, value


def _providers(scope: Scope, root: Node) -> Iterator[Finding]:
    ours = {provider.name for provider in scope.policy.providers}
    for key, value in root.pairs:
        if key.value in ("provider", "providers"):
            for name, entry in value.pairs:
                yield from _provider(scope, name, entry, ours)
        elif key.value == "enabled_providers":
            for item in value.strings():
                if item.value not in ours:
                    message = f"enabled_providers allows {item.value}, which is not the gateway"
                    fix = f"enabled_providers: {sorted(ours)}".replace("'", '"')
                    yield scope.finding("RG302", item, item.value, message, fix=fix)
        elif key.value == "disabled_providers":
            for item in value.strings():
                if item.value in ours:
                    message = f"disabled_providers switches off {item.value}, which is the gateway"
                    yield scope.finding("RG302", item, item.value, message, fix="remove it")


def _policies(scope: Scope, statements: Node | None) -> Iterator[Finding]:
    """What opencode 2 may use: the last statement that matches a provider decides.

    A resource is an id, or a pattern with `*` and `?` (opencode.ai/docs/policies).
    """
    ours = sorted(provider.name for provider in scope.policy.providers)
    decided: dict[str, tuple[str, Node]] = {}
    for statement in statements.items if statements is not None else ():
        action, resource, effect = (statement.get(key) for key in ("action", "resource", "effect"))
        if action is None or resource is None or effect is None:
            continue  # opencode drops it
        if not fnmatchcase("provider.use", action.value):
            continue
        for named in [*decided, *ours]:
            if fnmatchcase(named, resource.value):
                decided[named] = (effect.value, resource)
        decided[resource.value] = (effect.value, resource)
    for named, (effect_, place) in decided.items():
        if effect_ == "deny" and named in ours:
            message = f"policies forbid {named}, which is the gateway"
            fix = "remove this statement, or allow the gateway behind it"
            yield scope.finding("RG302", place, named, message, fix=fix)
        elif effect_ == "allow" and named not in ours and named == place.value:
            message = f"policies allow {named}, which is not the gateway"
            fix = f'allow "{ours[0]}" alone, behind a statement that denies "*"' if ours else ""
            yield scope.finding("RG302", place, named, message, fix=fix)


def _provider(scope: Scope, name: Node, entry: Node, ours: set[str]) -> Iterator[Finding]:
    policy = scope.policy
    urls = base_urls(entry)
    foreign = [(key, value) for key, value in urls if not is_gateway(value.value, policy)]
    for key, value in foreign:
        subject, sends = f"{name.value}.{key.value}", f"provider {name.value} sends its calls to"
        fix = f'"{key.value}": "{policy.base_url}"'
        yield leads_away(scope, between(key, value), subject, value.value, sends, fix)
    if not urls and name.value not in ours:
        message = f"provider {name.value} is configured without the gateway's base URL"
        fix = (
            f"use a provider of the policy ({', '.join(sorted(ours))}) with "
            f'options.baseURL "{policy.base_url}"'
        )
        yield scope.finding("RG302", name, name.value, message, fix=fix)


def _models(scope: Scope, root: Node) -> Iterator[Finding]:
    declared = _declared(root, scope.policy)
    named = [root.get("model"), root.get("small_model")]
    for group in ("agent", "agents", "mode", "command", "commands"):
        table = root.get(group)
        named += [entry.get("model") for _, entry in table.pairs] if table is not None else []
    for node in named:
        yield from _model(scope, node, declared)


def _declared(root: Node, policy: CompiledPolicy) -> set[str]:
    """Ids of providers that this file itself points at the gateway."""
    found: set[str] = set()
    for group in ("provider", "providers"):
        table = root.get(group)
        for name, entry in table.pairs if table is not None else []:
            urls = base_urls(entry)
            if urls and all(is_gateway(url.value, policy) for _, url in urls):
                found.add(name.value)
    return found


def _model(scope: Scope, node: Node | None, declared: Collection[str] = ()) -> Iterator[Finding]:
    if node is None or node.kind != SCALAR:
        return
    head, slash, _ = node.value.partition("/")
    if not node.value or "{env:" in head or "{file:" in head or head in declared:
        return
    written = f"{head}/MODEL" if "{" in node.value else node.value
    resolved = router(scope.policy).resolve(written, None)
    if isinstance(resolved, Finding):
        resolved.fix = resolved.fix.replace("use -m ", "")
        yield scope.placed(resolved, node.text)
    elif slash and head not in {provider.name for provider in scope.policy.providers}:
        message = "the model is named without the gateway's provider"
        yield scope.finding("RG206", node.text, node.value, message, fix=f'"{resolved}"')


def _markdown(scope: Scope) -> Iterator[Finding]:
    """The front matter of an agent, command, mode or skill: a program, or the `model` in it."""
    file = scope.file
    program = markdown.program(file.data)
    if program:
        place = Span(0, len(file.line(1)))
        yield _code(scope, place, file.path, f"this file {program}")
        return
    if scope.policy.project_config == "read" and markdown.is_agent(file.path):
        for why in _unreadable_agent(file):
            yield scope.unreadable(0, why, FORBIDS)
    found = _FRONTMATTER.match(file.text)
    if found is None:
        return
    try:
        from guard.sources.positions import yaml_nodes

        roots = yaml_nodes.documents(found.group(1))
    except MalformedError:
        return  # opencode reads such a file as text without front matter
    for root in roots:
        node = root.get("model") if root.kind == MAP else None
        if node is not None:
            # from offsets in the front matter to offsets in the file
            base = found.start(1)
            node.text = Text(node.value, [place + base for place in node.text.places])
            yield from _model(scope, node)


def _unreadable_agent(file: SourceFile) -> list[str]:
    try:
        fields, _ = frontmatter.read(file.text)
    except frontmatter.FrontMatterError:
        return []  # a launch leaves the agent out
    relative = file.path.rpartition(".opencode/")[2].partition("/")[2]
    name = fields.pop("name", relative.removesuffix(".md"))
    return keeping.unreadable_in({"agent": {name: fields}}) if isinstance(name, str) else []


DETECTOR = OpencodeFiles()
