"""Which resource providers the subscription is registered for; a registration takes its time."""

from __future__ import annotations

from datetime import timedelta


class Providers:
    """
    Every provider is registered unless it was taken away; namespaces in any case.

    *now* is the simulated time that has elapsed.
    """

    def __init__(self) -> None:
        self._missing: set[str] = set()
        self._due: dict[str, timedelta] = {}

    def state(self, namespace: str, now: timedelta) -> str:
        """NotRegistered, Registering or Registered, as Azure spells them."""
        key = namespace.lower()
        if key not in self._missing:
            return "Registered"
        due = self._due.get(key)
        if due is None:
            return "NotRegistered"
        return "Registering" if now < due else "Registered"

    def register(self, namespace: str, now: timedelta, duration: timedelta) -> None:
        """Begin to register; one that is registered or on its way stays as it is."""
        if self.state(namespace, now) == "NotRegistered":
            self._due[namespace.lower()] = now + duration

    def unregister(self, namespace: str) -> None:
        self._due.pop(namespace.lower(), None)
        self._missing.add(namespace.lower())

    def set_registered(self, namespace: str) -> None:
        """Registered at once."""
        self._due.pop(namespace.lower(), None)
        self._missing.discard(namespace.lower())
