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

EXAMPLES = 120
RESEMBLING = 8

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
    odd = not known or draw(st.sampled_from([False, False, True]))
    value = draw(TEXTS if odd else st.sampled_from(known))
    shown = draw(CASES)(name) if known else draw(NAMES)
    before = draw(st.sampled_from(["", "", "", "", "", "", "", " "]))
    return f"{shown}{before}:{draw(SPACES)}{value}{draw(SPACES)}"


DECIDING = st.sampled_from(
    [f"{name}: {value}" for name in VALUES if name not in PROXIED for value in VALUES[name]]
)
PROXY_FIELDS = st.sampled_from(PROXIED).flatmap(fields)
GOOD = ("Host: a", "Content-Type: application/json", f"Content-Length: {len(BODY)}")
GOOD_LINE = "POST /models/Echo HTTP/1.1"
LINES = st.builds(
    "{} {} {}".format,
    st.sampled_from(["POST"] * 5 + ["PUT", "GET", "post"]),
    st.sampled_from(["/models/Echo", "/models/Echo?a=b", "http://a/models/Echo", "/models/%45cho",
                     "/models/Missing", "/models/all", "/livez"]),
    st.sampled_from(["HTTP/1.1"] * 4 + ["HTTP/1.0", "HTTP/1.2"]),
)  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A request to be remembered, mostly one that is, and some that resemble it."""
    usual = draw(st.sampled_from([True, True, True, False]))
    first = GOOD_LINE if usual else draw(LINES)
    more = draw(st.lists(PROXY_FIELDS if usual else fields(), max_size=3))
    lines = draw(st.permutations([*GOOD, *more]))
    return request(first, lines), [request(first, draw(changed(lines))) for _ in range(RESEMBLING)]


@st.composite
def changed(draw: st.DrawFn, lines: list[str]) -> list[str]:
    """The fields with one more, less, twice or in the place of another, or in another order."""
    other = list(lines)
    place = draw(st.integers(0, len(lines) - 1))
    match draw(
        st.sampled_from(["proxy", "add", "decide", "decide", "drop", "twice", "replace", "turn"])
    ):
        case "proxy":
            other.insert(place, draw(PROXY_FIELDS))
        case "add":
            other.insert(place, draw(fields()))
        case "decide":
            other.insert(place, draw(DECIDING))
        case "drop":
            del other[place]
        case "twice":
            other.insert(draw(st.integers(0, len(other))), other[place])
        case "replace":
            name = other[place].partition(":")[0].strip()
            other[place] = draw(fields(next((one for one in VALUES if one == name), "")))
        case "turn":
            other.reverse()
    return other


def request(first: str, lines: list[str]) -> bytes:
    """The bytes of a request with the body that all have."""
    return "\r\n".join([first, *lines, "", ""]).encode("latin-1") + BODY


def test_any_head_is_answered_as_the_parser_has_it(service: Service) -> None:
    """Whatever head is remembered, one that resembles it gets the parser's answer."""
    seen: Counter[str] = Counter()

    @settings(max_examples=EXAMPLES, derandomize=True, deadline=None, database=None)
    @given(requests(), st.sampled_from([b"", b"", b"", PROBE]))
    def compare(drawn: tuple[bytes, list[bytes]], behind: bytes) -> None:
        remembered, resembling = drawn
        for _ in range(2):
            heard(service.port, remembered)
        key = head_key(remembered.removesuffix(BODY))
        for one in resembling:
            assert_same(service, one + behind)
            other = head_key(one.removesuffix(BODY))
            seen["remembered"] += key is not None
            seen["alike"] += key is not None and other is not None and key[0] == other[0]

    compare()
    assert seen["remembered"] > EXAMPLES * RESEMBLING / 3, seen
    assert seen["alike"] > EXAMPLES * RESEMBLING / 10, seen
