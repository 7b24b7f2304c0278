"""A project, and texts of an agent's config, for the tables in tests/surfaces."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from guard.files import jsonc


class Project:
    """A directory with a home that has nothing in it."""

    def __init__(self, root: Path) -> None:
        self.root = root / "project"
        self.root.mkdir(parents=True)
        self.environ = {"HOME": str(root / "home"), "BROKEN": '"'}

    def put(self, files: dict[str, bytes]) -> None:
        for name, content in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def config(text: str | bytes, name: str = "opencode.json") -> dict[str, bytes]:
    return {name: text if isinstance(text, bytes) else text.encode()}


NOT_JSON = "is not valid JSON"
VALUES = '{"a": [' + "{}," * 30_000 + "{}]}"

MALFORMED = [
    ('{"model":"portkey/gpt-4o","x":foo}', NOT_JSON),
    ('{"x":01}', NOT_JSON),
    ('{"x":1.}', NOT_JSON),
    ('{"x":.5}', NOT_JSON),
    ('{"x":+1}', NOT_JSON),
    ('{"x":-}', NOT_JSON),
    ('{"x":1e}', NOT_JSON),
    ('{"x":tru}', NOT_JSON),
    ('{"x":True}', NOT_JSON),
    ('{"x":NaN}', "holds NaN"),
    ('{"x":-Infinity}', "holds -Infinity"),
    ('{"x":"\\q"}', NOT_JSON),
    ('{"x":"\\u12"}', NOT_JSON),
    ('{"x":"\t"}', NOT_JSON),
    ('{"x":"\n"}', NOT_JSON),
    ('{"x":"\0"}', NOT_JSON),
    ("\0{}", NOT_JSON),
    ("{}\0", NOT_JSON),
    ("{'x':1}", NOT_JSON),
    ("{x:1}", NOT_JSON),
    ("{,}", NOT_JSON),
    ('{"x":[,]}', NOT_JSON),
    ('{"x":[1,,2]}', NOT_JSON),
    ('{"x":[1,,]}', NOT_JSON),
    ('{"x":1,,}', NOT_JSON),
    ('{"x":[/**/,]}', NOT_JSON),
    ('{"x":,}', NOT_JSON),
    ('{"x":1 "y":2}', NOT_JSON),
    ('{"x":1}}', NOT_JSON),
    ('{"x":1}{}', NOT_JSON),
    ('{"x":1', NOT_JSON),
    ('{"x":"', NOT_JSON),
    ('{"x":1}/', NOT_JSON),
    ("{}\u00a0", NOT_JSON),
    ("{}\u2028", NOT_JSON),
    ("\ufeff\ufeff{}", NOT_JSON),
    ("\x0b", NOT_JSON),
    ("[]", "is not a JSON object"),
    ("null", "is not a JSON object"),
    ('"x"', "is not a JSON object"),
    ("{/*", "comment without an end"),
    ("{/*/}", "comment without an end"),
    ('{"x":1,"x":2}', "names a key twice"),
    ('{"x":1,"\\u0078":2}', "names a key twice"),
    ('{"a":[{"x":1,"x":1}]}', "names a key twice"),
    ('{"__proto__":{"plugin":["./x.js"]}}', "__proto__"),
    ('{"a":{"\\u005f_proto__":{}}}', "__proto__"),
    ('{"x":"\\ud800"}', "half of a surrogate pair"),
    ('{"\\udfff":1}', "half of a surrogate pair"),
    ('{"x":["\\ude00\\ud83d"]}', "half of a surrogate pair"),
    ('{"a":' * 65 + "1" + "}" * 65, "nested too deeply"),
    ('{"a":' + "[" * 5000 + "]" * 5000 + "}", "nested too deeply"),
    ('{"a":' + "9" * 5000 + "}", "number that is too long"),
    (VALUES, "holds more than 20000 values"),
    (b'{"x":"\xff"}', "is not UTF-8"),
    ('{"x":1}'.encode("utf-16"), "is not UTF-8"),
    ('{"x":1}'.encode("utf-32"), "is not UTF-8"),
    (b"\n" * (jsonc.MAX_BYTES + 1), "larger than 1048576 bytes"),
    ('{"{env:A}":1}', "a key is only known"),
    ('{"x":{"{file:a}":1}}', "a key is only known"),
    ('{"x":"{env:A"}', "an unclosed {env:"),
    ('{"x":["a","{env:ROUTEGUARD_REAL_XDG_CONFIG_HOME}"]}', "which this config may not read"),
]

READABLE = [
    "",
    " \r\n\t",
    "{}",
    "\ufeff{}",
    "\ufeff",
    '{"x":1,}',
    '{"x":[1,2,],}',
    '// a "b\n{/*, ]*/"x" : 1}//',
    '{"x":"//","y":"/*"}',
    '{"x":"\\ud83d\\ude00 \\u00e9 \\/ \\u2028"}',
    '{"x":"{env:HOME} {file:a}"}',
    '{"x":1e5,"y":-0.5,"z":1E+2}',
    '{"a":' * 64 + "1" + "}" * 64,
    '{"x":/*/*/1}',
    '{"plugin":[],"plugins":null,"reference":{},"references":false}',
    '{"x":1,// }\n}',
    '{"X":1,"x":2}',
    "\t{\r}\n",
]

QUICK = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
NAMES = st.sampled_from(
    ["plugin", "provider", "npm", "models", "x", "//", "/*", ",}", "{env:A}", "__proto__", "é", '"']
)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=True), st.text(max_size=6), NAMES,
    st.just("file:///x.js"), st.just("{env:HOME}"),
)  # fmt: skip
TREES = st.recursive(
    LEAVES,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(NAMES, below, max_size=3),
    max_leaves=12,
)
NOISE = st.sampled_from(["", "", "", " ", "\n", "\t", "// c ]\n", '/* } , " */', "\r\n"])
BREAKS = st.sampled_from(
    [*',:{}[]"/\\*\0\t\n\x0b', "\u00a0", "\u2028", "\ufeff", "//", "/*", "*/", "01", "1.", "tru",
     '"\\q"', '"\\ud800"', '"\\ud83d\\ude00"', "NaN", "-", "'", '"plugin":["x"],', '"x":1,'],
)  # fmt: skip


@st.composite
def texts(draw: st.DrawFn) -> str:
    """JSON with comments and trailing commas, and then often broken."""

    def written(value: object) -> str:
        gap = draw(NOISE)
        if isinstance(value, (dict, list)):
            parts = (
                [f"{gap}{json.dumps(k)}{gap}:{written(v)}" for k, v in value.items()]
                if isinstance(value, dict)
                else [written(v) for v in value]
            )
            comma = "," if parts and draw(st.booleans()) else ""
            opener, closer = "{}" if isinstance(value, dict) else "[]"
            return f"{gap}{opener}{','.join(parts)}{gap}{comma}{draw(NOISE)}{closer}{gap}"
        return gap + json.dumps(value) + gap

    text = written({"x": draw(TREES), **draw(st.dictionaries(NAMES, TREES, max_size=2))})
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(BREAKS) + text[at + draw(st.integers(0, 2)) :]
    return text
