"""HTTP/1.1 as uvicorn reads it, with refusals in JSON also for what is no HTTP at all."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from broker.api.answers import encoded, refusal_body
from broker.errors import MalformedRequest


class JsonHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol; its 400 for bytes that it cannot read is a plain text, and here it is not."""

    def send_400_response(self, msg: str) -> None:
        """Refuse bytes that are no request, such as an unknown method, and close the connection."""
        body = encoded(refusal_body(MalformedRequest(f"This is no HTTP request that can be read. {msg}")))
        head = [
            b"HTTP/1.1 400 Bad Request",
            b"content-type: application/json",
            b"content-length: " + str(len(body)).encode(),
            b"connection: close",
        ]
        self.transport.write(b"\r\n".join(head) + b"\r\n\r\n" + body)
        self.transport.close()
