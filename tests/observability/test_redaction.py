"""What is hidden in a text that somebody else has written, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from time import process_time

import pytest

from modelsync.observability import redaction
from modelsync.observability.redaction import redacted

HIDDEN = {
    "postgresql://svc:S3CRET@db.internal/prod": "postgresql://***@db.internal/prod",
    "clone https://S3CRET@host/r.git, mail a@b.c": "clone https://***@host/r.git, mail a@b.c",
    "mysql+pymysql://svc:S3/CR@ET@db/prod": "mysql+pymysql://***@db/prod",
    "host=db password=S3CRET dbname=prod": "host=db password=*** dbname=prod",
    "host=db password='S3 ''CRET' dbname=prod": "host=db password=*** dbname=prod",
    "Server=db;Pwd=S3CRET;Database=prod": "Server=db;Pwd=***;Database=prod",
    "EndpointsProtocol=https;AccountKey=S3CRET==;X=1": "EndpointsProtocol=https;AccountKey=***;X=1",
    "GET https://host/x?token=S3CRET&page=2&sig=S3CRET": "GET https://host/x?token=***&page=2&sig=***",
    '{"api_key":"S3CRET","host":"db"}': '{"api_key":***,"host":"db"}',
    "{'db_password': 'S3\\'CRET', 'port': 1}": "{'db_password': ***, 'port': 1}",
    '"{\\"secret\\": \\"S3CRET\\"}"': '"{\\"secret\\": ***\\"}"',
    "connect(user='me', passwd=b'S3CRET')": "connect(user='me', passwd=***)",
    "Settings(client_secret=SecretStr('S3CRET'), n=1)": "Settings(client_secret=***), n=1)",
    "tokens=['S3CRET', 'S3CRET']": "tokens=***]",
    "DB_PASS=S3CRET": "DB_PASS=***",
    "password: S3CRET": "password: ***",
    "aws_secret_access_key = S3CRET": "aws_secret_access_key = ***",
    "Authorization: Bearer S3CRET.S3CRET": "Authorization: ***",
    "{'Authorization': 'Basic S3CRET=='}": "{'Authorization': ***}",
    "sent bearer S3CRET-1": "sent bearer ***",
    "key AKIAIOSFODNN7S3CRET0 is disabled": "key *** is disabled",
    "ghp_S3CRETS3CRETS3CRETS3 was refused": "*** was refused",
    "eyJhbGciOiJIUzI1NiJ9.S3CRETS3CRET.S3CRET has expired": "*** has expired",
    "key: -----BEGIN RSA PRIVATE KEY-----\nS3CRET\n-----END RSA PRIVATE KEY----- x": "key: *** x",
    "-----BEGIN PRIVATE KEY-----\nS3CRET, cut": "***",
}

HARMLESS = (
    "KeyError: 'password'",
    "password authentication failed for user svc",
    "unexpected token in JSON at position 3",
    "max_tokens=512 exceeds 256",
    "token.py:3: ValueError: no such rate",
    "first pass: 3 rows",
    "http://host:8080/path?mail=a@b",
    "this needs a token, sent in the header Authorization as: Bearer <token>",
)


@pytest.fixture(autouse=True)
def _nothing_known() -> Iterator[None]:
    yield
    redaction.set_secrets(())


@pytest.mark.parametrize("text", HIDDEN)
def test_credentials_are_hidden(text: str) -> None:
    """And what stands beside them stays; a text that is redacted again is the same."""
    assert redacted(text) == HIDDEN[text]
    assert redacted(HIDDEN[text]) == HIDDEN[text]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_credential_stays(text: str) -> None:
    """A reason must be of use."""
    assert redacted(text) == text


def test_the_services_own_secrets_are_hidden() -> None:
    """Wherever they stand, also quoted for a URL."""
    redaction.set_secrets(["S3CR/T"])
    assert redacted("it is S3CR/T or S3CR%2FT") == "it is *** or ***"


def test_a_cut_shows_no_half_of_a_secret() -> None:
    """A text is redacted before it is cut; of one that is too long to be looked at, the last word
    goes.
    """
    assert redacted("x" * 90 + " password=S3CRET and more", 101) == "x" * 90 + " password=…"
    assert "S3C" not in redacted("-" * (redaction.LONGEST - 20) + " postgresql://u:S3CRET@db")


ADVERSARIAL = (
    "a", "password", "password=", 'password="', "password=\\", 'password=\\"', "password=[",
    "token=a.", "pwd=a,",
    "token= ", "access_", "secret_", "://", "://a:b", "://@", "://a:/", "@",
    "Authorization: Bearer ", "bearer ", " ",
    "-----BEGIN ", "-----BEGIN RSA PRIVATE KEY-----", "-----END ", "eyJ", "eyJaaaaaaaa-",
    "eyJaaaaaaaa.", "ghp_",
    "xoxb-", "AKIA", "\\", "'", '"', "password='a'", "a(", "password=b", "_1", "\n",
)  # fmt: skip


@pytest.mark.parametrize("piece", ADVERSARIAL)
@pytest.mark.parametrize("start", ["", "password="])
def test_the_time_is_linear_in_the_length(piece: str, start: str) -> None:
    """Four times as much of what a pattern could go back and forth in takes the processor about
    four times as long, not sixteen times.
    """
    short, long = (start + piece * (size // len(piece)) for size in (100_000, 400_000))
    assert seconds(long) < 9 * seconds(short) + 0.02


def seconds(text: str) -> float:
    """What the processor needs for a text: the least of three times, which others disturb least."""
    redactor, found = redaction.Redactor(), []
    for _ in range(3):
        began = process_time()
        redactor(text)
        found.append(process_time() - began)
    return min(found)
