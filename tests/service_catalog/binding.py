"""A ServiceBinding, as the controller of Service Catalog deals with it, and the Secret that it writes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.service_catalog.envelopes import BindingEnvelopes
from tests.service_catalog.instance import Instance
from tests.service_catalog.machine import Answer, Send, Thing, Wait, Work

BIND, UNBIND = "bind", "unbind"
LARGEST_SECRET = 1024 * 1024


class InvalidSecret(ValueError):
    """The API server refuses a Secret with such keys, or of such a size."""


def secret_data(credentials: Mapping[str, Any]) -> dict[str, str]:
    """
    Return what a Secret holds: a key per credential, strings as they are, all else as compact JSON.

    Raises:
        InvalidSecret: A key has a character that keys must not have, or all of it is more than 1 MiB.
    """
    for key in credentials:
        if not re.fullmatch(r"[-._a-zA-Z0-9]{1,253}", key):
            raise InvalidSecret(f"a Secret's key must not be {key!r}")
    data = {
        key: value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        for key, value in credentials.items()
    }
    if sum(len(value.encode()) for value in data.values()) > LARGEST_SECRET:
        raise InvalidSecret("a Secret holds 1 MiB at most")
    return data


@dataclass
class Binding(Thing):
    """
    Bound once: every HTTP error is final. Unbound until it is gone.

    `unwritable` counts how often the API server will still refuse its Secret, as if another object owned it.
    """

    envelopes: BindingEnvelopes = field(kw_only=True)
    instance: Instance = field(kw_only=True)
    parameters: Mapping[str, Any] = field(kw_only=True)
    secret: dict[str, str] | None = None
    unwritable: int = 0
    tried: bool = False
    orphan: bool = False
    needs_unbind: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.instance.bindings += 1

    @property
    def settled(self) -> bool:
        ended = self.condition.ready or self.condition.failed
        return self.gone or (ended and self.in_progress is None and not (self.orphan or self.deleting))

    def delete(self) -> None:
        """Set the deletion timestamp; the Secret goes at once."""
        self.secret = None
        self.deleting = True
        self.change_noticed()

    def run(self) -> Work:
        """Live until gone."""
        while not self.gone:
            if self.in_progress is not None:
                yield from self._poll()
            elif self.orphan:
                yield from self._unbind()
            elif self.deleting and (self.instance.busy and self.needs_unbind):
                # Looked at once more by the queue, not told.
                yield from self._again_in_a_burst()
            elif self.deleting and self.needs_unbind:
                yield from self._unbind()
            elif self.deleting:
                self._is_gone()
            elif self.condition.ready or self.condition.failed:
                yield Wait()
            elif not self.instance.condition.ready:
                yield from self._again_in_a_burst()
            else:
                yield from self._bind()

    def _is_gone(self) -> None:
        self.gone = True
        self.instance.bindings -= 1
        self.instance.change_noticed()

    @property
    def _plan_id(self) -> str:
        return (self.instance.known or self.instance.spec).plan_id

    def _bind(self) -> Work:
        self._begins(BIND)
        self.needs_unbind = True
        (answer,) = yield Send((self.envelopes.bind(self._plan_id, self.parameters),))
        match answer:
            case Answer(status=200 | 201) if answer.document is not None:
                yield from self._inject(answer)
            case Answer(status=202) if answer.document is not None and self.envelopes.asynchronous:
                self._accepted(BIND, answer)
            case Answer(fault="refused") if not self.timed_out:
                self._not_ready("ErrorCallingBind", answer.description)
                yield from self._again_in_a_burst()
            case Answer(status=int(status)) if 300 <= status < 500:
                self._final(answer)
            case _:
                self.orphan = True
                self._final(answer)

    def _final(self, answer: Answer) -> None:
        self._ended()
        self._failed("BindCallFailed", answer.description)

    def _inject(self, answer: Answer) -> Work:
        """Write the Secret; if that cannot be, the same bind is sent again."""
        try:
            data = secret_data((answer.document or {}).get("credentials") or {})
            if self.unwritable:
                self.unwritable -= 1
                raise InvalidSecret("it is owned by another object")
        except InvalidSecret as invalid:
            self._not_ready("ErrorInjectingBindResult", str(invalid))
            yield from self._again_in_a_burst()
        else:
            self.secret = data
            self._ended()
            self._ready("InjectedBindResult")

    def _unbind(self) -> Work:
        self._begins(UNBIND)
        (answer,) = yield Send((self.envelopes.unbind(self._plan_id),))
        if answer.status in {200, 410} and answer.document is not None:
            self._unbound()
        elif answer.status == 202 and answer.document is not None and self.envelopes.asynchronous:
            self._accepted(UNBIND, answer)
        else:
            yield from self._unbind_again(answer.description)

    def _unbind_again(self, message: str) -> Work:
        if self.timed_out:
            self._failed("ErrorReconciliationRetryTimeout", message)
            yield Wait(minds=False)
        self.condition.message = message
        yield from self._again_in_a_burst()

    def _unbound(self) -> None:
        self._ended()
        self.orphan = self.needs_unbind = False

    def _poll(self) -> Work:
        kind = self.in_progress
        answer = yield from self._polled(self.envelopes.poll(self._plan_id, self.operation))
        if answer is None:
            return
        state = (answer.document or {}).get("state")
        if kind == UNBIND and (answer.status == 410 or state == "succeeded"):
            self._unbound()
        elif answer.status != 200:
            yield from self._after_an_error(answer)
        elif kind == UNBIND and state == "failed":
            self.in_progress = self.operation = None
            yield from self._unbind_again(str((answer.document or {}).get("description")))
        elif state == "failed" or self.timed_out:
            self._final(answer)
        elif state == "succeeded":
            yield from self._fetch()

    def _fetch(self) -> Work:
        (answer,) = yield Send((self.envelopes.fetch(),))
        self.in_progress = self.operation = None
        if answer.status == 200 and answer.document is not None:
            yield from self._inject(answer)
        else:
            self.orphan = True
            self._final(answer)
