"""Ephemeral keys: for how long and for what they hold. `test_live_clients` uses them with OpenAI's client."""

from __future__ import annotations

import json

import pytest
from websockets.exceptions import InvalidStatus

from asr.serving.client_secrets import ClientSecrets, client_secret
from asr.serving.limits import Caller
from asr.serving.refusals import ApiError

from .live import receive, send, web_socket
from .running import running

PATH = "/v1/realtime/client_secrets"
REALTIME = "/v1/realtime?intent=transcription"
ANNA, BERT = Caller("anna", 4), Caller("bert", 4)


def test_a_key_opens_streams_until_it_expires():
    now = 1000.0
    found = ClientSecrets(lambda: now)
    value, expires = found.make(ANNA, {"include": None}, 60)
    assert client_secret(f"Bearer {value}") == value
    assert expires == 1060
    assert found.find(value).caller == ANNA
    assert found.find(value).session == {"include": None}
    assert found.find("ek_" + 48 * "0") is None
    now = 1060.0
    assert found.find(value) is None


def test_a_caller_has_a_number_of_valid_keys():
    now = 1000.0
    found = ClientSecrets(lambda: now)
    values = {found.make(ANNA, {}, 10 + number)[0] for number in range(500)}
    assert len(values) == 500
    with pytest.raises(ApiError, match="500 client secrets") as refused:
        found.make(ANNA, {}, 10)
    assert (refused.value.status, refused.value.headers["Retry-After"]) == (429, "10")
    assert found.make(BERT, {}, 10)
    now = 1010.0
    assert found.make(ANNA, {}, 10)
    assert len(found._grants) == 500  # those that have expired are forgotten


@pytest.mark.parametrize(
    "authorization", ["", "Bearer sk-1", "Bearer ek_123", "ek_" + 48 * "0", "Bearer ek_" + 48 * "G"]
)
def test_other_keys_are_none(authorization):
    assert client_secret(authorization) is None


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("secrets")) as server:
        yield server


def make(server, content) -> tuple[int, dict]:
    answer = server.request("POST", PATH, content if isinstance(content, bytes) else json.dumps(content))
    return answer.status, answer.json


def test_where_there_are_no_keys_an_ephemeral_key_still_chooses_the_settings(server):
    session = {"type": "transcription", "audio": {"input": {"transcription": {"prompt": "Kathleen"}}}}
    status, secret = make(server, {"session": session})
    assert status == 200
    header = {"Authorization": f"Bearer {secret['value']}"}
    with web_socket(server, REALTIME, additional_headers=header) as socket:
        created = receive(socket)
        assert created["session"]["audio"]["input"]["transcription"]["prompt"] == "Kathleen"
        send(socket, type="session.update", session={"audio": {"input": {"turn_detection": None}}})
        assert receive(socket)["session"]["audio"]["input"]["turn_detection"] is None
    # As a browser sends it.
    with web_socket(
        server, REALTIME, subprotocols=["realtime", f"openai-insecure-api-key.{secret['value']}"]
    ) as socket:
        assert receive(socket)["session"]["audio"]["input"]["transcription"]["prompt"] == "Kathleen"
    assert server.get("/v1/models", **header).status == 401
    with pytest.raises(InvalidStatus, match="401"), web_socket(server, "/v1/live", additional_headers=header):
        pass


def test_a_key_that_the_server_does_not_know_is_refused(server):
    header = {"Authorization": f"Bearer ek_{48 * 'a'}"}
    with pytest.raises(InvalidStatus, match="401"), web_socket(server, REALTIME, additional_headers=header):
        pass


@pytest.mark.parametrize(
    ("content", "param"),
    [
        ({"session": {"type": "realtime"}}, "session.type"),
        ({"session": {"model": "x"}}, "session.model"),
        ({"session": {"audio": {"input": {"transcription": {"model": "x"}}}}}, "model"),
        ({"session": {"audio": {"input": {"transcription": {"keywords": ["☃"]}}}}}, "keywords"),
        ({"session": []}, "session"),
        ({"expires_after": {"seconds": 9}}, "expires_after.seconds"),
        ({"expires_after": {"anchor": "now"}}, "expires_after.anchor"),
        ({"ttl": 60}, "ttl"),
        (b'{"session": {"audio": {"input": {"transcription": {"prompt": "\\ud800"}}}}}', None),
        (b"[]", None),
        (b"", None),
    ],
)
def test_what_is_wrong_is_named(server, content, param):
    status, answer = make(server, content)
    assert (status, answer["error"]["param"]) == (404 if param == "model" else 400, param)


def test_a_body_that_is_too_large_is_refused(server):
    assert make(server, {"session": {"x": 40_000 * "x"}})[0] == 413
