"""azure-core over httpx: one HTTP stack, and an honest word about what was sent."""

from __future__ import annotations

import ssl
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from azure.core.exceptions import ServiceRequestError, ServiceResponseError
from azure.core.pipeline.transport import AsyncHttpTransport

# Private, since azure-core has no public base for a response; its major version is pinned for that.
from azure.core.rest._http_response_impl_async import AsyncHttpResponseImpl
from azure.core.utils import case_insensitive_dict

NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
"""What httpx raises before the first byte of a request has left."""

METADATA_ADDRESS = "169.254.169.254"
"""Where a virtual machine asks for its identity; never through a proxy."""


class HttpxResponse(AsyncHttpResponseImpl):
    """A response that was read whole."""

    def __init__(self, request: Any, response: httpx.Response) -> None:
        super().__init__(
            request=request,
            internal_response=response,
            status_code=response.status_code,
            reason=response.reason_phrase,
            content_type=response.headers.get("content-type"),
            headers=case_insensitive_dict(response.headers.items()),
            stream_download_generator=None,
        )
        self._content = response.content
        self._is_closed = True
        self._is_stream_consumed = True

    async def close(self) -> None:
        """Do nothing: httpx has given the connection back already."""


class HttpxTransport(AsyncHttpTransport[Any, Any]):
    """
    Sends each request once, through a shared client that somebody else owns and closes.

    Raises:
        ServiceRequestError: The request has surely not been sent.
        ServiceResponseError: It may have been received and acted upon.
    """

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def send(self, request: Any, **kwargs: Any) -> Any:
        """Send *request* and read the whole response; any status is a response."""
        del kwargs  # azure-core's own options for streams and time-outs: the client has them
        content = request.content
        body = {"data": content} if isinstance(content, dict) else {"content": content}
        try:
            response = await self._client.request(
                request.method, request.url, headers=request.headers, **body
            )
        except NOT_SENT as error:
            raise ServiceRequestError(_told(error), error=error) from error
        except httpx.TransportError as error:
            raise ServiceResponseError(_told(error), error=error) from error
        except httpx.DecodingError as error:
            raise ServiceResponseError(_told(error), error=error) from error
        return HttpxResponse(request, response)

    async def open(self) -> None:
        """Do nothing: the client is open."""

    async def close(self) -> None:
        """Do nothing: the client is shared."""

    async def __aexit__(self, *exc_details: object) -> None:
        """Do nothing: the client is shared."""


def _told(error: httpx.HTTPError) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def http_client(
    *,
    ca_file: Path | None = None,
    proxy: str | None = None,
    connect: timedelta = timedelta(seconds=5),
    read: timedelta = timedelta(seconds=30),
    connections: int = 20,
    transport: httpx.AsyncBaseTransport | None = None,
) -> httpx.AsyncClient:
    """
    Return the one HTTP client of a process; whoever asked for it closes it.

    *ca_file* is trusted beside the system's and Mozilla's roots. *read* is generous: the Resource Manager
    itself gives up on a provider before that. Nothing is read from the environment. *transport* replaces the
    network, for tests.

    Raises:
        OSError: *ca_file* cannot be read.
        ssl.SSLError: *ca_file* holds no certificate.
    """
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return httpx.AsyncClient(
        verify=context,
        trust_env=False,
        follow_redirects=False,
        timeout=httpx.Timeout(
            read.total_seconds(), connect=connect.total_seconds(), pool=connect.total_seconds()
        ),
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        mounts={f"all://{METADATA_ADDRESS}": None} if proxy else None,
        proxy=proxy,
        transport=transport,
    )
