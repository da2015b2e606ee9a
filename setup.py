"""Packaging of Salience: plain top-level packages of one application, listed one by one.

The list is explicit so that `tests`, `benchmarks` and `tools` are never installed. Versions have a lower
bound where a feature of that release is used, and an upper bound only with the reason beside it; what is really
installed is fixed by the locks in `requirements/` (`make lock`).

A wheel holds the network as machine code too, compiled from the same files by mypyc, where mypyc and a C compiler are
there; SALIENCE_PURE_PYTHON=1 leaves it out. A checkout that is installed as a link never does: its files are edited.
"""

import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

README = Path(__file__).with_name("README.md")

PACKAGES = [
    "admin_ui",
    "admin_ui.screens",
    "config",
    "connectors",
    "engine",
    "engine.language",
    "engine.offers",
    "engine.rete",
    "engine.rete.agenda",
    "engine.rete.alpha",
    "engine.rete.beta",
    "engine.rete.conditions",
    "engine.rete.memory",
    "engine.rete.reports",
    "engine.rete.session",
    "engine.testing",
    "models",
    "rulesets",
    "salience",
    "service",
    "service.api",
    "service.cli",
    "service.rebuild",
    "service.replay",
    "service.rpc",
    "service.run",
    "service.shop",
    "service.worker",
]

# Files that are read at run time beside the code. The example shop is a package of files, so that
# `importlib.resources.files("rulesets")` finds it in a checkout and in a wheel alike.
PACKAGE_DATA = {
    "admin_ui": ["static/**/*", "templates/**/*"],
    "config": ["*.yaml"],
    "engine": ["py.typed"],
    "salience": ["py.typed"],
    "rulesets": ["**/*.yaml", "**/*.json", "**/*.md"],
    "service": ["rpc/*.proto", "rpc/*.pyi", "static/**/*", "shop/*.json", "shop/static/**/*"],
}

REQUIRES = [
    "Flask>=3.1",
    "Flask-WTF>=1.2",  # CSRF tokens of the admin UI
    "PyYAML>=6.0.2",
    "click>=8.2",
    "cryptography>=43",  # Ed25519 signatures of what is published
    "google-re2>=1.1",  # linear-time patterns: text of a rule must not be able to stall a decision
    "gunicorn>=27",  # the first with an ASGI worker
    "h2>=4.2",  # HTTP/2 in gunicorn's ASGI worker
    # Exactly this one: our transactional client repairs its behaviour by subclassing, and the fault tests
    # run again before every upgrade. The extras decode any batch that another producer may have compressed.
    "kafka-python[crc32c,lz4,snappy,zstd]==3.0.12",
    "msgspec>=0.19",
    "numpy>=2.0",
    "onnx>=1.17",
    "onnxmltools>=1.13",  # XGBoost to ONNX
    "onnxruntime>=1.20",
    "prometheus-client>=0.21",
    "pyarrow>=18",  # recordings in Parquet
    "redis[hiredis]>=8",
    "rich>=13.9",
    "scikit-learn>=1.5",
    "skl2onnx>=1.18",
    "tzdata>=2024.2",  # schedules name time zones also where the system has no zone files
    "xgboost-cpu>=3.0",  # the same library as xgboost without 300 MB of GPU parts
]

GRPC = [
    "grpcio>=1.85.1",  # the modules of service/rpc refuse one older than that which wrote them
    "grpcio-health-checking>=1.85.1",
    "grpcio-reflection>=1.85.1",
    "grpcio-status>=1.85.1",  # the details of an error: reason, field, when to try again
]

EXTRAS = {
    "grpc": GRPC,  # the decision API over gRPC, beside HTTP
    "librdkafka": ["confluent-kafka>=2.16"],  # the other client of Kafka, for high volume
    "test": [
        *GRPC,
        "confluent-kafka>=2.16",
        "httpx>=0.28",
        "hypothesis>=6.120",
        "jsonschema>=4.23",
        "openapi-spec-validator>=0.7",
        "openfeature-provider-ofrep>=0.3",
        "openfeature-sdk>=0.8.2",
        "playwright>=1.49",
        "pytest>=8.3",
        "pytest-timeout>=2.3",
        "pytest-xdist>=3.6",
        "schemathesis>=4.0",  # asks the API what its OpenAPI document does not expect
    ],
    "dev": [
        "grpcio-tools>=1.85.1",  # protoc: writes the modules of service/rpc from its .proto
        "import-linter>=2.1",
        "mypy>=1.14",
        "mypy-protobuf>=3.6",
        "pre-commit>=4.0",
        "ruff>=0.9",
        "types-PyYAML>=6.0",
        "types-grpcio>=1",
        "types-grpcio-health-checking>=1",
        "types-grpcio-reflection>=1",
        "types-grpcio-status>=1",
        "types-gunicorn>=23",
        "types-jsonschema>=4.23",
        "uv>=0.5",  # writes the locks
    ],
    # Peers that are measured beside ours; C extensions are compiled where no wheel fits, so they have a lock of their own
    # and the benchmarks leave out what can't be built.
    "bench": ["clipspy>=1.0.6", "durable_rules>=2.0.28", "zen-engine>=2.1"],
}

# Compiled: the network, and what every event of the stream and every decision passes through beside it.
NETWORK = Path("engine", "rete")
HOT = [
    "connectors/kafka_records.py",
    "engine/admitted.py",
    "engine/language/sentence.py",
    "engine/offers/arbitration.py",
    "engine/offers/candidates.py",
    "engine/offers/conclusion.py",
    "engine/offers/content.py",
    "engine/raw_values.py",
    "engine/schedule.py",
    "engine/units.py",
    "engine/vocabulary.py",
    "service/worker/backlog.py",
    "service/worker/counts.py",
    "service/worker/equipment.py",
    "service/worker/evaluation.py",
    "service/worker/intake.py",
    "service/worker/partition.py",
    "service/worker/sessions.py",
    "service/worker/stores.py",
    "service/worker/timers.py",
    "service/worker/work.py",
    "service/worker/writing.py",
]
# msgspec reads their annotations at run time, which machine code does not keep.
INTERPRETED = {"__init__.py", "remembered.py"}
# Functions of the one library call each other without a table in between, and small ones become part of their callers.
HIDDEN = ["-fvisibility=hidden"]


def compiled_modules() -> list[Extension]:
    """What is compiled as extensions; none where they are not wanted or can't be made."""
    if not {"build", "build_ext", "bdist_wheel"}.intersection(sys.argv) or os.environ.get("SALIENCE_PURE_PYTHON"):
        return []
    try:
        from mypyc.build import mypycify  # noqa: PLC0415 - may not be there

        network = [str(path) for path in NETWORK.rglob("*.py") if path.name not in INTERPRETED]
        made = list(mypycify(["--ignore-missing-imports", *sorted([*network, *HOT])], opt_level="2", debug_level="0"))
    except (ImportError, SystemExit) as problem:
        sys.stderr.write(
            f"salience: the network stays in Python: mypyc is not there, or can't compile it ({problem})\n"
        )
        return []
    if sys.platform != "win32":
        for extension in made:
            extension.extra_compile_args = [*extension.extra_compile_args, *HIDDEN]  # they share one list
    return made


class BuildNetwork(build_ext):  # type: ignore[misc]  # setuptools has no types
    """All of the network is compiled or, without a C compiler that can, nothing of it."""

    def run(self) -> None:
        """Compile; what a compiler that failed left behind is taken away."""
        try:
            super().run()
        except Exception as problem:  # noqa: BLE001 - each compiler fails in its own way, and Python runs without any
            sys.stderr.write(f"salience: the network stays in Python: {problem}\n")
            for made in Path(self.build_lib).rglob("*.so"):
                made.unlink()


setup(
    name="salience",
    version="0.1.0",
    description="A decision engine for online shops: rules, events and a model decide what each shopper sees next",
    long_description=README.read_text("utf-8") if README.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=PACKAGES,
    ext_modules=compiled_modules(),
    cmdclass={"build_ext": BuildNetwork},
    package_data=PACKAGE_DATA,
    install_requires=REQUIRES,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["salience = service.cli:main"]},
)
