"""What a shared report must not tell, and what it still may."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.doctor.finding import problem
from node.doctor.redaction import HIDDEN, Private, private_of, redact, redact_findings

OWNER = Private(
    secrets=("correct horse battery",), home="/srv/maria", user="maria", machine="marias-pc"
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("the token is correct horse battery.", f"the token is {HIDDEN}."),
        ("a proxy http://bob:pw@10.0.0.1:3128 here", "a proxy http://10.0.0.1:3128 here"),
        ("/srv/maria/data is full", "~/data is full"),
        ("/Users/somebody/.local is full", "/Users/[user]/.local is full"),
        (r"C:\Users\Bob Smith", r"C:\Users\[user] Smith"),
        ("run it as maria on marias-pc", "run it as [user] on [machine]"),
        ("electrons-grant-AbCdEfGh_123 has expired", f"{HIDDEN} has expired"),
        ("electrons-ticket-AbCdEfGh_123", HIDDEN),
        ("key sk-proj-abcdef123456", f"key {HIDDEN}"),
        ("sent Bearer abc.def", f"sent {HIDDEN}"),
        ("sha256:0123456789abcdef", HIDDEN),
        ("node 0123456789abcdef0123456789abcdef01234567 is", "node 01234567… is"),
        ("opaque Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5 here", f"opaque {HIDDEN} here"),
        ("8.8.4.4:7718 is down", "8.8.x.x:7718 is down"),
        ("[2a00:1450:4001:80b::200e]:443", "[2a00:1450:…]:443"),
        ("write to maria.b@example.org", f"write to {HIDDEN}"),
    ],
)
def test_what_is_private_is_taken_out(text: str, told: str) -> None:
    assert redact(text, OWNER) == told


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1:7717 and 192.168.1.20 are no secret",
        "Release 0.1.0 on Python 3.11.7",
        "edge.example.org:443 does not answer",
        "The NVIDIA kernel module 550.54.14 and its library are of different versions",
        "add the user to the groups 'render' and 'video'; the card may be too old for ROCm",
        "fe80::1 is of this network",
    ],
)
def test_what_helps_stays(text: str) -> None:
    assert redact(text, OWNER) == text


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=4))
def test_a_known_secret_is_never_left(secret: str) -> None:
    private = Private(secrets=(secret,))
    told = redact(f"It said {secret} and went on", private)
    assert secret not in told.replace(HIDDEN, "").replace("It said", "").replace("and went on", "")


def test_variables_that_speak_of_secrets_are_known() -> None:
    environ = {
        "OPENAI_API_KEY": "value-one",
        "https_proxy": "http://bob:hunter22@proxy.example:3128",
        "EDITOR": "value-two",
    }
    private = private_of(environ, (), user="", home="", machine="")
    assert redact("value-one value-two hunter22", private) == f"{HIDDEN} value-two {HIDDEN}"


def test_words_of_others_are_left_out_altogether() -> None:
    finding = problem("engines", "It fails", "restart it", "Tell me about my illness")
    assert redact_findings([finding], OWNER)[0].detail == ""
