"""librdkafka: what its errors mean."""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException

from connectors.kafka_port import ClientError, FencedProducerError, TooLargeError

FENCED = frozenset({KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH})  # noqa: SLF001 - its names of its own errors begin so


class translated:  # noqa: N801 - a context manager, used like a function
    """Turns the library's exceptions into those of the port."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, SystemError) and isinstance(error.__cause__, KafkaException):
            error = error.__cause__
        if isinstance(error, KafkaException):
            why = error.args[0]
            message = why.str()
            if why.code() in FENCED:
                raise FencedProducerError(message) from error
            if why.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                raise TooLargeError(message) from error
            raise ClientError(message) from error
        if isinstance(error, BufferError):
            raise ClientError(str(error)) from error
