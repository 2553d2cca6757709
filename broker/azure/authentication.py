"""The bearer token on each request, and what it means when there is none."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator
from typing import Any

from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import AsyncBearerTokenCredentialPolicy

from broker.azure import distilling
from broker.azure.failures import NotSent, TokenRefused


class TokenPolicy(AsyncBearerTokenCredentialPolicy[Any, Any]):
    """
    Puts a token on each request; a 401 is met once with a token asked for anew.

    Raises:
        TokenRefused: The issuer refused, or the token's file cannot be read.
        NotSent: The issuer could not be reached. What became of the *token* request does not matter here: the
            request itself has not left.
    """

    async def on_request(self, request: PipelineRequest[Any]) -> None:
        """Put the token on *request*."""
        with _token_failures():
            await super().on_request(request)

    async def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        """Send *request*, and once more if its token was refused: what is refused so was not carried out."""
        response = await super().send(request)
        if response.http_response.status_code == 401:
            response = await super().send(request)
        return response


async def token(credential: AsyncTokenCredential, scope: str) -> str:
    """
    Return a token for *scope*.

    Raises:
        TokenRefused, NotSent: As of `TokenPolicy`.
    """
    with _token_failures():
        return (await credential.get_token(scope)).token


@contextlib.contextmanager
def _token_failures() -> Iterator[None]:
    try:
        yield
    except ClientAuthenticationError as error:
        raise TokenRefused(_told(error), code="no-token") from error
    except OSError as error:
        raise TokenRefused(f"The token's file: {error.strerror}", code="no-token") from error
    except AzureError as error:
        raise NotSent(_told(error), code="no-token-server") from error


async def object_id(credential: AsyncTokenCredential, scope: str) -> str | None:
    """
    Return the object id of whoever *credential* is for, as its token says; None where there is no token that does.

    Nothing is decided by it, so the token's signature is not looked at: that is Azure's to do.
    """
    try:
        parts = (await credential.get_token(scope)).token.split(".")
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (AzureError, OSError, IndexError, ValueError):
        return None
    return str(claims["oid"]) if isinstance(claims, dict) and "oid" in claims else None


def _told(error: AzureError) -> str:
    return distilling.redact(str(error).partition("\n")[0]) or type(error).__name__
