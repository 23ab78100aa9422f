"""What a log line holds, and what it never holds."""

import io
import json
import logging
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelsync import settings
from modelsync.observability import logs, redaction
from modelsync.settings import Logs


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _logging_restored() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(False)
    redaction.set_secrets(())
    root.handlers[:] = before
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def configured(*secrets: str, stream: io.StringIO | None = None, **chosen: str) -> io.StringIO:
    stream = stream or io.StringIO()
    logs.configure(Logs(**chosen), stream, secrets)  # type: ignore[arg-type]
    return stream


def test_one_object_a_line() -> None:
    """A record is one JSON object on one line with its time in UTC, level, logger, message and
    fields.
    """
    stream = configured()
    logs.event(
        logging.getLogger("modelsync.sync"), logging.WARNING, "two\nlines", reason="auth", attempt=2
    )
    (line,) = lines(stream)
    assert str(line.pop("time")).endswith("Z")
    assert line == {
        "level": "warning", "logger": "modelsync.sync", "message": "two\nlines", "reason": "auth",
        "attempt": 2,
    }  # fmt: skip


def test_a_field_never_hides_a_standard_one() -> None:
    """A field named like a standard key does not replace it."""
    stream = configured()
    logs.event(logging.getLogger("x"), logging.INFO, "kept", message="lost", level="lost")
    assert (lines(stream)[0]["message"], lines(stream)[0]["level"]) == ("kept", "info")


def test_an_exception_is_one_field() -> None:
    """A traceback stays inside its line's object."""
    stream = configured()
    try:
        raise ValueError("no good")
    except ValueError:
        logging.getLogger("x").exception("failed")
    (line,) = lines(stream)
    assert "Traceback" in str(line["exception"])
    assert str(line["exception"]).endswith("ValueError: no good")


def test_anything_can_be_logged() -> None:
    """Values that are no JSON are shown as text; nothing makes logging itself fail."""
    stream = configured()
    odd = {"path": Path("a"), "big": 2**80, "lone": "\ud800", "nested": [{1: {2}}], "bytes": b"x"}
    logs.event(logging.getLogger("x"), logging.INFO, "odd", **odd)
    (line,) = lines(stream)
    assert (line["path"], line["big"], line["nested"]) == ("a", 2**80, [{"1": [2]}])


def test_level() -> None:
    """Records below the level are not written."""
    stream = configured(level="warning")
    logging.getLogger("x").info("quiet")
    logging.getLogger("x").warning("loud")
    assert [line["message"] for line in lines(stream)] == ["loud"]


@pytest.mark.parametrize("chosen", ["json", "text"])
def test_no_secret_is_written(chosen: str) -> None:
    """A secret is hidden in messages, arguments, fields, nested values, keys and tracebacks, also
    when URL-quoted.
    """
    stream = configured("s3cr/t", "tok", stream=io.StringIO(), format=chosen)
    logger = logging.getLogger("x")
    logger.info("message s3cr/t and %s and s3cr%%2Ft", "s3cr/t")
    logs.event(
        logger,
        logging.INFO,
        "fields",
        url="https://host/?k=s3cr/t",
        deep=[{"s3cr/t": ("a", "tok")}],
    )
    try:
        raise RuntimeError("with s3cr/t inside")
    except RuntimeError:
        logger.exception("tok failed")
    written = stream.getvalue()
    assert "***" in written
    assert not [secret for secret in ("s3cr/t", "s3cr%2Ft", "tok") if secret in written]


def test_credentials_in_urls_are_hidden() -> None:
    """`user:password@` disappears from every URL, known as a secret or not."""
    stream = configured()
    logging.getLogger("x").info(
        "cloning https://me:pw@host/repo.git and https://token@host/r, mail a@b.c"
    )
    assert (
        lines(stream)[0]["message"]
        == "cloning https://***@host/repo.git and https://***@host/r, mail a@b.c"
    )


def test_rotated_secrets_are_hidden_too(tmp_path: Path) -> None:
    """A secret file's new content is hidden without a restart, and its old content still is."""
    file = tmp_path / "tokens"
    file.write_text("first,second\n")
    loaded = settings.load({"MODELSYNC_ADMIN_TOKENS_FILE": str(file), "gitpassword": "gitpw"})
    stream = io.StringIO()
    logs.configure(Logs(), stream, logs.secrets_of(loaded))
    logging.getLogger("x").info("first second gitpw")
    file.write_text("third\n")
    logging.getLogger("x").info("first second third")
    file.unlink()
    logging.getLogger("x").info("third")
    assert [line["message"] for line in lines(stream)] == ["*** *** ***", "*** *** ***", "***"]


def test_gunicorn_and_warnings_go_the_same_way() -> None:
    """gunicorn's records and Python's warnings reach the one handler, once each."""
    gunicorn = logging.getLogger("gunicorn.error")
    gunicorn.addHandler(logging.StreamHandler(io.StringIO()))
    gunicorn.propagate = False
    stream = configured()
    gunicorn.info("booting")
    warnings.warn("old thing", DeprecationWarning, stacklevel=1)
    assert [line["logger"] for line in lines(stream)] == ["gunicorn.error", "py.warnings"]


def test_configuring_again_replaces() -> None:
    """A second call (a fork, a reload) does not write every line twice."""
    first = configured()
    second = configured()
    logging.getLogger("x").info("once")
    assert (first.getvalue(), len(lines(second))) == ("", 1)


def test_a_terminal_gets_text() -> None:
    """With `auto` a terminal gets readable text, with control characters shown instead of sent."""
    stream = configured(stream=Terminal())
    logs.event(logging.getLogger("x"), logging.INFO, "red \x1b[31m alert", model="A b", n=1)
    line = stream.getvalue().rstrip("\n")
    assert line.endswith('info    red \\x1b[31m alert model="A b" n=1')


@pytest.mark.parametrize(
    ("no_colour", "stream", "red"),
    [("", Terminal(), True), ("1", Terminal(), False), ("", io.StringIO(), False)],
)
def test_on_a_terminal_errors_are_red(
    monkeypatch: pytest.MonkeyPatch, no_colour: str, stream: io.StringIO, red: bool
) -> None:
    """Not in a file, nor where NO_COLOR asks for none (https://no-color.org). Hashes are short."""
    monkeypatch.setenv("NO_COLOR", no_colour)
    configured(stream=stream, format="text")
    logs.event(logging.getLogger("x"), logging.ERROR, "no", commit="0123456789" * 4)
    line = stream.getvalue()
    assert ("\x1b[31m" in line) is red
    assert "commit=012345678901" in line
    assert "0123456789" * 2 not in line


def test_text_is_for_people() -> None:
    """Times to the microsecond, lists as words with commas, and no field that holds nothing."""
    stream = configured(format="text")
    fields = {
        "seconds": 0.00023213600070448592,
        "model": None,
        "broken": ["Db", "Iris"],
        "ready": True,
        "n": 2.0,
    }
    logs.event(logging.getLogger("x"), logging.INFO, "told", **fields)
    assert (
        stream.getvalue()
        .rstrip("\n")
        .endswith("told seconds=0.000232 broken=Db,Iris ready=true n=2")
    )


@pytest.mark.parametrize("chosen", ["json", "text"])
def test_what_a_model_logs_has_its_name(chosen: str) -> None:
    """The field `model`, from the package that its modules are in; other loggers have none."""
    stream = configured(format=chosen)
    for name in ("Bug_43296415.etls", "Big_Bug_43296415_2.parts.etls", "Bug_43296415"):
        logging.getLogger(f"modelsync_models.{name}").warning("said")
    logging.getLogger("modelsync.x").warning("said")
    if chosen == "json":
        assert [line.get("model") for line in lines(stream)] == ["Bug", "Big_Bug", "Bug", None]
    else:
        assert [line.partition("said")[2] for line in stream.getvalue().splitlines()] == [
            " model=Bug", " model=Big_Bug", " model=Bug", "",
        ]  # fmt: skip


@pytest.mark.parametrize("arguments", [("x",), (1,), ("x", 2)])
def test_a_malformed_call_is_one_record(arguments: tuple[object, ...]) -> None:
    """What was to be said, and with what; nothing is printed beside the log."""
    stream = configured()
    logging.getLogger("x").info("%d and %s", *arguments)
    (line,) = lines(stream)
    assert str(line["message"]).startswith("%d and %s (malformed log call: TypeError")


@pytest.mark.parametrize("chosen", ["json", "text"])
def test_no_control_character_reaches_a_reader(chosen: str) -> None:
    """C1 controls and Unicode's line separators are escaped, in messages, fields and tracebacks."""
    stream = configured(format=chosen)
    odd = "a\x85b\x9bc\u2028d\u2029e\x7ff"
    logging.getLogger("x").error(odd, extra={"fields": {"odd": odd, "fine": "é"}})
    written = stream.getvalue()
    assert not set(written) & set("\x85\x9b\u2028\u2029\x7f")
    assert "é" in written
    if chosen == "json":
        assert (lines(stream)[0]["message"], lines(stream)[0]["odd"]) == (odd, odd)


def test_a_record_is_formatted_before_the_lock_is_taken() -> None:
    """What it holds may log itself, or take its time: no other thread waits for it."""
    stream = configured()
    logger = logging.getLogger("x")

    class Chatty:
        def __str__(self) -> str:
            thread = threading.Thread(target=logger.info, args=("from within",))
            thread.start()
            thread.join(10)
            return "outer"

    logger.info("%s", Chatty())
    assert [line["message"] for line in lines(stream)] == ["from within", "outer"]


def test_a_long_text_is_cut_before_it_is_searched_for_secrets() -> None:
    """9 MB of a model's own words become one line of reasonable length."""
    stream = configured("s3cret")
    logging.getLogger("x").info("%s", "word s3cret " * 800_000, extra={"fields": {"n": [1] * 9999}})
    (line,) = lines(stream)
    assert len(str(line["message"])) < 100_000
    assert "s3cret" not in stream.getvalue()
    assert len(line["n"]) == 1000  # type: ignore[arg-type]
