"""Start a real Kafka (one broker) and a real Redis for a demonstration.

python -m tools.servers start --dir D     # prints the settings with which Salience uses them
python -m tools.servers stop --dir D      # data stays; `start` resumes it

eval "$(python -m tools.servers start --dir D)" && salience run
"""

import argparse
import sys
from pathlib import Path

from tools.kafka.kafka_cluster import ClusterError, KafkaCluster
from tools.redis_server import RedisServer, RedisServerError


def start(directory: Path) -> None:
    """Start what does not run yet; print the addresses as shell exports."""
    redis = RedisServer(directory / "redis", settings={"appendonly": "yes", "appendfsync": "everysec"}).start()
    try:
        kafka = KafkaCluster(directory / "kafka").start()
    except BaseException:
        redis.stop()
        raise
    print(f"export SALIENCE_KAFKA__BOOTSTRAP={kafka.bootstrap}")
    print(f"export SALIENCE_REDIS__URL={redis.url}")


def stop(directory: Path) -> None:
    """End both; what is not running is left alone."""
    if (directory / "kafka" / "cluster.json").exists():
        KafkaCluster.open(directory / "kafka").stop()
    if (directory / "redis" / "redis.json").exists():
        RedisServer(directory / "redis").stop()


def main() -> int:
    """Carry out one command; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("start", "stop"))
    parser.add_argument("--dir", type=Path, required=True, help="folder for their data and logs")
    arguments = parser.parse_args()
    try:
        {"start": start, "stop": stop}[arguments.command](arguments.dir)
    except (ClusterError, RedisServerError, OSError) as error:
        print(f"servers: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
