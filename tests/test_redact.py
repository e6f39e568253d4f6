import pytest

from stream_infer.redact import MASK, is_secret, redact


@pytest.mark.parametrize(
    "key",
    [
        "sasl.password",
        "ssl.key.password",
        "ssl.keystore.password",
        "ssl.key.pem",
        "sasl.jaas.config",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.config",
        "basic.auth.user.info",
        "bearer.auth.token",
        "PASSWORD",
        "client_secret",
        "api_key",
        "private-key",
    ],
)
def test_keys_that_hold_a_secret(key: str) -> None:
    assert is_secret(key)


@pytest.mark.parametrize(
    "key",
    [
        "sasl.username",
        "sasl.mechanism",
        "ssl.ca.location",
        "ssl.key.location",
        "ssl.certificate.pem",
        "sasl.oauthbearer.token.endpoint.url",
        "message.key",
        "group.id",
    ],
)
def test_keys_that_hold_none(key: str) -> None:
    assert not is_secret(key)


def test_redact_goes_all_the_way_down_and_leaves_the_original() -> None:
    original = {"a": {"sasl.password": "x", "b": [{"token": 1}, "http://me:pw@host/p"]}, "secret": None, "n": 3}
    assert redact(original) == {
        "a": {"sasl.password": MASK, "b": [{"token": MASK}, f"http://{MASK}@host/p"]},
        "secret": None,
        "n": 3,
    }
    assert original["a"] == {"sasl.password": "x", "b": [{"token": 1}, "http://me:pw@host/p"]}


def test_a_secret_that_is_a_table_is_hidden_whole() -> None:
    assert redact({"credentials": {"user": "u"}}) == {"credentials": MASK}
