"""What a worker takes from Kafka, beside a bare loop of the same client in the same run: `python -m benchmarks.stream`."""
