"""Head cache and parser answer any request alike: heads as Hypothesis makes them.

`tests/server/test_head_cache.py` has the chosen ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from modelsync.server.head_key import head_key
from tests.fixtures.service import Service
from tests.server.test_head_cache import BODY, PROBE, assert_same, heard

EXAMPLES = 300

VALUES = {
    "Host": ("a", "b", "a:80", "", "u@a", "[::1]"),
    "Content-Type": ("application/json", "Application/JSON; charset=utf-8", "text/plain", ""),
    "Content-Length": (str(len(BODY)), f"0{len(BODY)}", "0", "5", f"+{len(BODY)}", "99999999999"),
    "X-Request-ID": ("a-1.b_2", "0123456789abcdef01234567", "not an id", "", "x" * 129, "\xe9"),
    "Connection": ("keep-alive", "close", "Close, TE", "upgrade"),
    "Transfer-Encoding": ("chunked", "gzip", "identity"),
    "Content-Encoding": ("gzip", "identity", ""),
    "Authorization": ("Bearer x", "Basic eDp5", ""),
    "Expect": ("100-continue", "200-ok"),
    "Upgrade": ("h2c", "websocket"),
    "Keep-Alive": ("timeout=5",),
    "Proxy-Connection": ("close",),
    "TE": ("trailers",),
    "Trailer": ("X",),
    "X-Forwarded-For": ("10.0.0.1, 10.0.0.2", "2001:db8::1"),
    "traceparent": ("00-0af7-b7ad-01",),
    "User-Agent": ("curl/8", ""),
    "Cookie": ("a=b; c=d",),
}
"""The fields that mean something to the server, and some that every proxy adds."""

PROXIED = ("X-Request-ID", "X-Forwarded-For", "traceparent", "User-Agent", "Cookie")
"""Those that decide nothing, and differ from request to request."""

TEXTS = st.text(st.sampled_from('aZ09-_.:,;="()/ \t\x7f\x80\xff'), max_size=12)
NAMES = st.text(st.sampled_from("abcXYZ019-_!'"), min_size=1, max_size=8)
CASES: st.SearchStrategy[Callable[[str], str]] = st.sampled_from(
    [str.strip, str.lower, str.upper, str.swapcase]
)
SPACES = st.sampled_from(["", " ", " ", " ", "  ", "\t", " \t "])


@st.composite
def fields(draw: st.DrawFn, name: str = "") -> str:
    """One line: a known field with one of its values or with any, or a field that nobody knows."""
    name = name or draw(st.sampled_from([*VALUES, ""]))
    known = VALUES.get(name, ())
    value = draw(st.one_of(st.sampled_from(known), TEXTS) if known else TEXTS)
    shown = draw(CASES)(name) if known else draw(NAMES)
    before = draw(st.sampled_from(["", "", "", "", "", "", "", " "]))
    return f"{shown}{before}:{draw(SPACES)}{value}{draw(SPACES)}"


EXTRA = st.one_of(fields(), st.sampled_from(PROXIED).flatmap(fields))
GOOD = ("Host: a", "Content-Type: application/json", f"Content-Length: {len(BODY)}")
LINES = st.builds(
    "{} {} {}".format,
    st.sampled_from(["POST"] * 9 + ["PUT", "GET", "post"]),
    st.sampled_from(["/models/Echo", "/models/Echo", "/models/Echo?a=b", "http://a/models/Echo",
                     "/models/%45cho", "/models/Missing", "/models/all", "/livez"]),
    st.sampled_from(["HTTP/1.1"] * 8 + ["HTTP/1.0", "HTTP/1.2"]),
)  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Two requests: one to be remembered, and one that is like it but for one field, or the order.

    The second has a field more, less, twice or in the place of another.
    """
    first = draw(LINES)
    lines = draw(st.permutations([*GOOD, *draw(st.lists(EXTRA, max_size=4))]))
    other = list(lines)
    place = draw(st.integers(0, len(lines) - 1))
    match draw(st.sampled_from(["proxy", "proxy", "add", "drop", "twice", "replace", "turn"])):
        case "proxy":
            other.insert(place, draw(st.sampled_from(PROXIED).flatmap(fields)))
        case "add":
            other.insert(place, draw(fields()))
        case "drop":
            del other[place]
        case "twice":
            other.insert(draw(st.integers(0, len(other))), other[place])
        case "replace":
            name = other[place].partition(":")[0].strip().title()
            other[place] = draw(fields(name if name in VALUES else ""))
        case "turn":
            other.reverse()
    return request(first, lines), request(first, other)


def request(first: str, lines: list[str]) -> bytes:
    """The bytes of a request with the body that all have."""
    return "\r\n".join([first, *lines, "", ""]).encode("latin-1") + BODY


def test_any_head_is_answered_as_the_parser_has_it(service: Service) -> None:
    """Whatever head is remembered, one that resembles it gets the parser's answer."""
    seen: Counter[str] = Counter()

    @settings(max_examples=EXAMPLES, derandomize=True, deadline=None, database=None)
    @given(requests(), st.sampled_from([b"", b"", PROBE]))
    def compare(pair: tuple[bytes, bytes], behind: bytes) -> None:
        remembered, resembling = pair
        for _ in range(2):
            heard(service.port, remembered)
        for one in (remembered, resembling, resembling):
            assert_same(service, one + behind)
        keys = [head_key(one.removesuffix(BODY)) for one in pair]
        seen["remembered"] += keys[0] is not None
        seen["alike"] += keys[0] is not None and keys[1] is not None and keys[0][0] == keys[1][0]

    compare()
    assert seen["remembered"] > EXAMPLES / 4, seen
    assert seen["alike"] > EXAMPLES / 8, seen
