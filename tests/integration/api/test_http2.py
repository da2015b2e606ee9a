"""HTTP/2 with a real client, over TLS and without, HTTP/1.1 for those that have no other, and streams over both."""

import re
import ssl

import httpx
import pytest

from tests.integration.api.running import UNHURRIED, Process, Running

ASKED = {"session_id": "s1", "placements": ["cart_banner"]}


@pytest.fixture(scope="module")
def secure(tmp_path_factory, certificate):
    files = {"api.tls_certificate": certificate / "certificate.pem", "api.tls_key": certificate / "key.pem"}
    running = Running(tmp_path_factory.mktemp("secure"), files | UNHURRIED)
    running.api.start()
    try:
        running.url = running.api.wait_for(r"decision API on (https://\S+)")[1]
        yield running
    finally:
        running.api.end()


@pytest.fixture(scope="module")
def clear(tmp_path_factory):
    with Running(tmp_path_factory.mktemp("clear"), {"api.http2_cleartext": "true", **UNHURRIED}) as running:
        yield running


def exercise(client, version):
    """A decision, one that did not change, a stream of lines, a body that is refused."""
    answers = [client.post("/v1/decide", json=ASKED) for _ in range(3)]
    assert {(each.http_version, each.status_code) for each in answers} == {(version, 200)}
    assert answers[0].json()["revision"] == 1
    again = client.post("/v1/decide", json=ASKED, headers={"If-None-Match": answers[0].headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    lines = b"\n".join([b'{"session_id": "b", "placements": ["cart_banner"], "explain": true}'] * 200)
    ndjson = {"Content-Type": "application/x-ndjson"}
    with client.stream("POST", "/v1/decide/bulk", content=lines, headers=ndjson) as streamed:
        assert sum('"decision_id"' in line for line in streamed.iter_lines()) == 200
    refused = client.post("/v1/decide", content=b" " * 2_000_000)
    assert refused.status_code == 413
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(("http2", "version"), [(True, "HTTP/2"), (False, "HTTP/1.1")])
def test_a_decision_and_a_stream_come_over_what_the_client_speaks(secure, certificate, http2, version):
    trusted = ssl.create_default_context(cafile=str(certificate / "certificate.pem"))
    headers = {"Authorization": f"Bearer {secure.server_key}"}
    with httpx.Client(base_url=secure.url, headers=headers, http2=http2, verify=trusted, timeout=60) as client:
        exercise(client, version)


@pytest.mark.parametrize(("http2", "version"), [(True, "HTTP/2"), (False, "HTTP/1.1")])
def test_without_tls_a_proxy_on_this_machine_may_speak_either_with_no_question_before(clear, http2, version):
    headers = {"Authorization": f"Bearer {clear.server_key}"}
    with httpx.Client(base_url=clear.url, headers=headers, http1=not http2, http2=http2, timeout=60) as client:
        exercise(client, version)


def test_unless_it_is_asked_for_nobody_speaks_http2_without_tls(tmp_path):
    with (
        Running(tmp_path) as plain,
        httpx.Client(base_url=plain.url, http1=False, http2=True, timeout=60) as client,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        client.get("/healthz")


def test_a_certificate_that_can_not_be_read_is_one_sentence(tmp_path):
    api = Process(tmp_path, ["api", "--port=0"], {"api.tls_certificate": tmp_path / "nothing.pem"}).start()
    assert api._child is not None
    assert api._child.wait(60) == 1
    assert re.fullmatch(r"salience: \S+nothing\.pem can't be read; see the setting api\.tls_certificate\n", api.output)
