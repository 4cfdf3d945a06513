"""Running the server of a study."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import videojam.locks
from videojam.addresses import LOOPBACK, not_free
from videojam.optional import from_extra
from videojam.study.config import Study, load_study, require_clips
from videojam.study.database import Database

BACKLOG = 2048


@dataclass(frozen=True)
class Listening:
    """Where and to whom the server listens.

    Attributes:
        host: Address to bind; loopback is reached from this machine only.
        port: Of TCP; 0 is any that is free.
        is_open: Whether anyone may join, or only who has a link.
        joins_per_hour: Most who may join an open study from one address within an hour.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    is_open: bool = False
    joins_per_hour: int = 20


def serve(folder: Path, where: Listening, say: Callable[[str], None]) -> None:
    """Serve a study until Ctrl-C or SIGTERM.

    Args:
        folder: Of the study.
        where: Where and to whom.
        say: Called with lines for the one who runs it.

    Raises:
        VideoJamError: no study, one without clips, a port that is taken, or a study that is served already; or
            the extra `videojam[study]` is not installed.
    """
    package = "uvicorn and starlette, which serve the study"
    with from_extra(package, "videojam[study]", "videojam study serve"):
        import uvicorn

        from videojam.study.limit import JoinLimit
        from videojam.study.server import Service, build_app
    study = load_study(folder)
    require_clips(folder, study)
    with videojam.locks.locked(folder, "serve"):
        database = Database.open(folder, study)
        listener = _listen(where)
        port = listener.getsockname()[1]
        try:
            for line in greeting(study, where, port, _num_links(database)):
                say(line)
            service = Service(folder, study, database, where.is_open, JoinLimit(where.joins_per_hour))
            config = uvicorn.Config(
                build_app(service),
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=5,
            )
            uvicorn.Server(config).run([listener])
        finally:
            listener.close()
            database.close()


def greeting(study: Study, where: Listening, port: int, num_links: int) -> list[str]:
    """Return what the one who runs the server must know."""
    host = f"[{where.host}]" if ":" in where.host else where.host
    lines = [f"{study.config.title}: {len(study.pairs)} pairs at http://{host}:{port}/"]
    if where.is_open:
        lines.append(
            f"Open: anyone who reaches this address may join, {where.joins_per_hour} an hour from one address."
        )
    elif num_links:
        lines.append(f"{num_links} links were made; only who has one can vote.")
    else:
        lines.append(
            "No links yet, and the study is not open: make links with `videojam study links`, or add --open."
        )
    if where.host in LOOPBACK:
        lines.append(
            "Only this machine can reach it. --host 0.0.0.0 opens it to the network; read docs/human-study.md."
        )
    else:
        lines.append(
            "Other machines can reach it, without encryption: put it behind an HTTPS proxy before raters outside "
            "your own network use it."
        )
    return lines


def _listen(where: Listening) -> socket.socket:
    family = socket.AF_INET6 if ":" in where.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((where.host, where.port))
        listener.listen(BACKLOG)  # whoever reads the address in the greeting can connect
    except (OSError, OverflowError) as error:
        listener.close()
        raise not_free(where.host, where.port, error) from None
    return listener


def _num_links(database: Database) -> int:
    with database.read() as connection:
        return connection.execute("SELECT COUNT(*) FROM raters WHERE platform = 'link'").fetchone()[0]
