"""The environment of this process: which names are set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def names(environ: Mapping[str, str]) -> list[str]:
    """Names that are set, sorted. An empty value counts as set: programs differ about it."""
    return sorted(environ)


def present(environ: Mapping[str, str], wanted: Iterable[str]) -> list[str]:
    """Those of `wanted` that are set, in the order asked for."""
    return [name for name in wanted if name in environ]
