"""TLS and SASL on a real broker, with both clients: what the settings `kafka.security`, `ssl_*` and `sasl_*` are for."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from kafka.admin import UserScramCredentialUpsertion

from connectors.kafka_client import KafkaAddress
from connectors.kafka_port import ClientOptions, Mechanism, Security
from connectors.kafka_ports import KafkaPorts
from engine.ports import NewRecord, Output, OutputKind, PortError
from service.settings import load
from service.wiring import Wiring
from tests.contracts.backends import LIBRARIES
from tests.contracts.test_event_streams import append, collect, join, numbered
from tools.kafka.kafka_cluster import KafkaCluster
from tools.ports import HOST, free_ports

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

PASSWORD = "correct horse battery"
PARTITIONS = 4


class Secured:
    """A broker that speaks TLS with clients that show a user, and their password."""

    def __init__(self, folder: Path) -> None:
        self.ca = folder / "ca.pem"
        store = folder / "broker.p12"
        stored = ["-keystore", str(store), "-storepass", "changeit", "-alias", "broker"]
        made = ["-genkeypair", "-keyalg", "EC", "-validity", "30", "-storetype", "PKCS12", "-dname", "CN=broker"]
        for command in (
            ["keytool", *made, "-ext", f"san=ip:{HOST}", *stored],
            ["keytool", "-exportcert", "-rfc", *stored, "-file", str(self.ca)],
        ):
            subprocess.run(command, check=True, capture_output=True)
        self._port, controller, self._inner = free_ports(3)
        login = "org.apache.kafka.common.security.{0}Module required"
        self.cluster = KafkaCluster(
            folder / "kafka",
            settings={
                "listeners": f"OUTER://{HOST}:{self._port},INNER://{HOST}:{self._inner},CONTROLLER://{HOST}:{controller}",
                "advertised.listeners": f"OUTER://{HOST}:{self._port},INNER://{HOST}:{self._inner}",
                "listener.security.protocol.map": "OUTER:SASL_SSL,INNER:PLAINTEXT,CONTROLLER:PLAINTEXT",
                "inter.broker.listener.name": "INNER",
                "controller.quorum.voters": f"1@{HOST}:{controller}",
                "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
                "listener.name.outer.plain.sasl.jaas.config": f'{login.format("plain.PlainLogin")} user_shop="{PASSWORD}";',
                "listener.name.outer.scram-sha-512.sasl.jaas.config": f"{login.format('scram.ScramLogin')};",
                "listener.name.outer.ssl.keystore.type": "PKCS12",
                "listener.name.outer.ssl.keystore.location": store,
                "listener.name.outer.ssl.keystore.password": "changeit",
            },
        )

    def add_user(self) -> None:
        with closing(KafkaAddress([f"{HOST}:{self._inner}"]).admin()) as admin:
            admin.alter_user_scram_credentials([UserScramCredentialUpsertion("shop", "SCRAM-SHA-512", PASSWORD, 4096)])

    @property
    def bootstrap(self) -> str:
        return f"{HOST}:{self._port}"

    def security(self, mechanism: Mechanism = "PLAIN", password: str = PASSWORD) -> Security:
        return Security("sasl_ssl", ca=self.ca, mechanism=mechanism, username="shop", password=password)


@pytest.fixture(scope="module")
def secured(tmp_path_factory, kafka_required) -> Iterator[Secured]:
    made = Secured(tmp_path_factory.mktemp("secured"))
    with made.cluster:
        made.add_user()
        yield made


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_every_port_works_with_tls_and_a_password(secured, kafka_prefix, library, mechanism):
    options = ClientOptions(library, secured.security(mechanism))
    ports = KafkaPorts([secured.bootstrap], partitions=PARTITIONS, prefix=kafka_prefix, options=options)
    ports.topics().create()
    with closing(ports.event_log()) as log, closing(ports.event_source(kafka_prefix)) as source:
        append(log, numbered(20))
        join(source)
        collect(source, 20)
    with closing(ports.outputs()) as outputs:
        turn = outputs.claim(0)
        outputs.send(0, turn.token, [Output("1", OutputKind.TRIGGER, "k", b"", 0)])
        assert [each.id for each in outputs.read(OutputKind.TRIGGER, 10)] == ["1"]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_wrong_password_and_a_foreign_broker_are_errors_without_the_secret(secured, tmp_path, library):
    foreign = tmp_path / "foreign.pem"
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=other",
    ]
    subprocess.run([*made, "-keyout", str(tmp_path / "key"), "-out", str(foreign)], check=True, capture_output=True)
    for security in (
        secured.security(password="not-the-password"),
        Security("sasl_ssl", ca=foreign, mechanism="PLAIN", username="shop", password=PASSWORD),
    ):
        options = ClientOptions(library, security, reach_ms=3_000)
        answers: list[PortError | None] = []
        with closing(KafkaPorts([secured.bootstrap], partitions=PARTITIONS, options=options).event_log()) as log:
            log.append([NewRecord("k", b"")], answers.append)
            log.flush(30_000)
        assert secured.bootstrap in str(answers[0])
        for secret in ("not-the-password", PASSWORD):
            assert secret not in str(answers[0])
            assert secret not in repr(options)


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_settings_lead_there(secured, kafka_prefix, tmp_path, library):
    (tmp_path / "salience.yaml").write_text(
        f"kafka: {{bootstrap: ['{secured.bootstrap}'], topic_prefix: {kafka_prefix}, client: {library}, partitions: 4,"
        f" security: sasl_ssl, ssl_ca: '{secured.ca}', sasl_username: shop, compression: zstd}}\n"
    )
    environment = {"SALIENCE_KAFKA__SASL_PASSWORD": PASSWORD}
    with Wiring(load(environ=environment, folder=tmp_path).settings) as wiring:
        wiring.ensure_topics()
        wiring.check_partitions()
        append(wiring.event_log(), numbered(5))
