"""`python -m service.shop`: serve the example shop, with the settings of the environment."""

from __future__ import annotations

from typing import Any

from gunicorn.app.base import BaseApplication

from service.settings import load
from service.shop.app import Neighbours, create_app
from service.shop.prepare import PAGE_KEY, read_key


class Server(BaseApplication):
    """Gunicorn with one process of threads: the page is a handful of small files."""

    def __init__(self, application: Any, options: dict[str, object]) -> None:
        self._application = application
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        """Take the options."""
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Give the application."""
        return self._application


def main() -> None:
    """Serve until told to stop."""
    settings = load().settings
    neighbours = Neighbours(settings.api.port, settings.admin.port, read_key(settings.data_dir, PAGE_KEY))
    bind = f"{settings.shop.host}:{settings.shop.port}"
    Server(create_app(neighbours), {"bind": bind, "worker_class": "gthread", "threads": 8, "loglevel": "warning"}).run()


if __name__ == "__main__":
    main()
