"""What the page may ask the server for: an allow-list in front of Gradio, and the clips by their random names."""

from __future__ import annotations

import re

from starlette.responses import FileResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from videojam.app.clips import Clips

CLIP = re.compile(r"/clips/([0-9a-f]{32}\.mp4)")
ALLOWED = re.compile(
    r"/|/config/?|/manifest\.json|/theme\.css|/favicon\.ico|/(assets|static)/[A-Za-z0-9_./-]+"
    r"|/gradio_api/(info|app_id|startup-events|heartbeat/[^/]+|queue/(join|data|status)|cancel|reset)/?"
)
"""All that Gradio's page needs. Not among it: its routes that read files, take uploads, or fetch other addresses."""
MAX_BODY_BYTES = 64 * 1024
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (
        b"content-security-policy",
        b"default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
        b"img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; connect-src 'self'; "
        b"worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'none'",
    ),
]


class TooLargeError(Exception):
    """A body is larger than any that the page sends."""


class Guard:
    """ASGI middleware: serves clips, passes on what the page needs, and answers 404 to everything else.

    Args:
        app: Gradio's.
        clips: The page's clips.
    """

    def __init__(self, app: ASGIApp, clips: Clips) -> None:
        self._app, self._clips = app, clips

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":  # the page opens no web socket
            return None
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        clip = CLIP.fullmatch(path)
        if clip:
            file = self._clips.find(clip.group(1))
            if file is not None and file.is_file():
                headers = {"cache-control": "private, max-age=3600", "x-content-type-options": "nosniff"}
                return await FileResponse(file, media_type="video/mp4", headers=headers)(scope, receive, send)
        elif ALLOWED.fullmatch(path) and ".." not in path:
            return await self._passed_on(scope, receive, send)
        return await PlainTextResponse("Not found.", 404)(scope, receive, send)

    async def _passed_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let Gradio answer, with headers of ours, and with bodies no larger than the page's."""
        began, size = False, 0

        async def limited() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > MAX_BODY_BYTES:
                raise TooLargeError
            return message

        async def with_headers(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)

        try:
            await self._app(scope, limited, with_headers)
        except TooLargeError:
            if not began:
                await PlainTextResponse("The request is too large.", 413)(scope, receive, send)
