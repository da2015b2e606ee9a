"""Install the servers and programs that tests need, where that may be done: `python -m tools.provision [--bench]`.

As root on Debian and Ubuntu the missing ones are installed by one `apt-get` call; Kafka's jars come through Maven, and
OpenFeature's JavaScript through npm, into the user's cache. Elsewhere each missing server is named, with what will be skipped. With CI=true a missing one is a failure.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tools import chromium, opa, redis_server
from tools.kafka import kafka_cluster
from tools.openfeature import modules

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Server:
    """A program that tests need: how it is called, its Debian packages, and what is skipped without it."""

    name: str
    programs: tuple[str, ...]
    packages: tuple[str, ...]
    skipped: str

    def present(self) -> bool:
        """Tell whether one of its programs is there."""
        return any(shutil.which(program) for program in self.programs)


SERVERS = (
    Server("Redis", redis_server.PROGRAMS, ("redis-server",), "tests with a real Redis"),
    Server("Chromium", chromium.PROGRAMS, ("chromium",), "tests in a real browser"),
    Server("Java", ("java",), ("default-jre-headless",), "tests with a real Kafka"),
    Server("a C compiler", ("cc", "gcc", "clang"), ("gcc", "libc6-dev"), "tests of the compiled network"),
    Server("Maven", ("mvn",), ("maven",), "tests with a real Kafka (its jars come through Maven)"),
    Server("npm", ("npm",), ("npm",), "tests with OpenFeature's JavaScript provider"),
)


def missing() -> list[Server]:
    """Return the servers that are not there. What an earlier run fetched makes Maven and npm unnecessary."""
    fetched = {"Maven": kafka_cluster.fetched, "npm": modules.fetched}
    return [
        server for server in SERVERS if not server.present() and not (server.name in fetched and fetched[server.name]())
    ]


def apt_install(packages: Iterable[str]) -> None:
    """Install Debian packages; a failure is told by what is missing afterwards."""
    names = sorted(packages)
    print(f"provision: installing {', '.join(names)} with apt-get", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *names],
    ):
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode:
            print(f"provision: {' '.join(command[:2])} failed:\n{(done.stderr or done.stdout)[-1500:]}", flush=True)
            return


def fetch_kafka() -> str | None:
    """Fetch Kafka's jars where Maven is; return what went wrong, if anything did."""
    if kafka_cluster.fetched() or not shutil.which("mvn"):
        return None
    print("provision: fetching Kafka's jars with Maven (about 100 MB, once)", flush=True)
    try:
        kafka_cluster.fetch()
    except kafka_cluster.ClusterError as error:
        return str(error)
    return None


def fetch_modules() -> str | None:
    """Fetch OpenFeature's JavaScript where npm is; return what went wrong, if anything did."""
    if modules.fetched() or not shutil.which("npm"):
        return None
    print("provision: fetching OpenFeature's JavaScript packages with npm (2 MB, once)", flush=True)
    try:
        modules.fetch()
    except modules.ModulesError as error:
        return str(error)
    return None


def install_bench() -> None:
    """Install the peers of the benchmarks; one that does not build here is named and left out of the tables."""
    lock = str(ROOT / "requirements" / "bench.txt")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-input"]
    if subprocess.run([*pip, "--require-hashes", "-r", lock], check=False).returncode:
        print("provision: durable_rules can't be built here (it needs a C compiler); it is left out", flush=True)
    if opa.find() is None and shutil.which("go"):
        print("provision: building Open Policy Agent with Go (minutes, once)", flush=True)
        try:
            opa.build()
        except opa.OpaError as error:
            print(f"provision: OPA is left out: {error}", flush=True)


def main() -> int:
    """Provision; return 1 when something is missing and CI=true."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bench", action="store_true", help="also the peers that benchmarks measure against")
    arguments = parser.parse_args()
    packages = {package for server in missing() for package in server.packages}
    if packages and shutil.which("apt-get") and os.geteuid() == 0:
        apt_install(packages)
    trouble = {
        "Kafka's jars: skipping tests with a real Kafka": fetch_kafka(),
        "OpenFeature's packages: skipping tests with its JavaScript provider": fetch_modules(),
    }
    if arguments.bench:
        install_bench()
    lacking = missing()
    for server in lacking:
        print(f"provision: MISSING {server.name}: skipping {server.skipped}. Debian: apt install {server.packages[0]}")
    for what, why in trouble.items():
        if why:
            print(f"provision: MISSING {what}. {why}")
    return int(os.environ.get("CI") == "true" and bool(lacking or any(trouble.values())))


if __name__ == "__main__":
    sys.exit(main())
