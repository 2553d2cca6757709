"""What a binding's credentials are now, where they hold keys that are read from Azure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from broker.azure.arm import Arm
from broker.domain.binding_keys import reads_keys
from broker.domain.bindings import ServiceBinding
from broker.domain.instances import ServiceInstance
from broker.domain.json_values import JsonObject
from broker.provisioners import sas_policies
from broker.provisioners.base import Next, Outcome, Work
from broker.provisioners.bindings import RECIPE, composed, known_of, picks_of, source_of
from broker.provisioners.options import ProvisionerOptions
from broker.provisioners.recipe import Recipe, pick
from broker.provisioners.sub_resources import picked
from broker.provisioners.verdicts import Impossible, from_azure, request_id

Post = Callable[[str, str, str], Awaitable[JsonObject]]
"""Posts to a resource: its id, the action, the api-version."""


class Keys:
    """Reads keys anew, and makes nothing."""

    def __init__(self, arm: Arm, options: ProvisionerOptions) -> None:
        self._arm = arm
        self._options = options

    async def refresh(self, work: Work) -> Next:
        """
        Compose the credentials with the keys as they are now.

        What else was made for the binding stays as it is. A binding that an older release has made goes by its plan's
        present recipe, which is written down with it.

        Raises:
            Impossible: The credentials hold no key, or the service gives no keys any more.
            StepFailed: Azure refused or could not be asked.
        """
        binding = work.binding
        if binding is None:
            raise ValueError("This step is about a binding and was given none.")
        recipe = binding.record.get(RECIPE) or _present(work, binding)

        async def post(resource_id: str, name: str, api_version: str) -> JsonObject:
            work.guard()
            return await from_azure(
                self._arm.action(resource_id, name, api_version, client_request_id=request_id(work))
            )

        credentials, endpoints = await self._now(work.instance, work.parent, binding, recipe, post)
        same = credentials == binding.credentials
        return Next(
            Outcome.DONE,
            record={**binding.record, RECIPE: recipe},
            credentials=credentials,
            endpoints=endpoints,
            keys_read=True,
            description="The credentials were read again and are the same."
            if same
            else "The credentials were read again and have changed; whoever uses them has to fetch them.",
        )

    async def is_stale(
        self, instance: ServiceInstance, parent: ServiceInstance | None, binding: ServiceBinding, post: Post
    ) -> bool:
        """
        Tell whether Azure's keys are others than those that were handed out; they are compared here and kept nowhere.

        A binding without a recipe of its own cannot be told of, and is taken to be fresh.

        Raises:
            StepFailed: Azure refused or could not be asked.
        """
        recipe = binding.record.get(RECIPE)
        if recipe is None:
            return False
        try:
            now, _ = await self._now(instance, parent, binding, recipe, post, also=False)
        except Impossible:
            # The key that was handed out is not there any more.
            return True
        return now != binding.credentials

    async def post(self, resource_id: str, name: str, api_version: str) -> JsonObject:
        """
        Post to a resource, outside of any operation.

        Raises:
            StepFailed: Azure refused or could not be asked.
        """
        return await from_azure(
            self._arm.action(resource_id, name, api_version, client_request_id=str(uuid4()))
        )

    async def _now(
        self,
        instance: ServiceInstance,
        parent: ServiceInstance | None,
        binding: ServiceBinding,
        recipe: JsonObject,
        post: Post,
        *,
        also: bool = True,
    ) -> tuple[JsonObject, tuple[JsonObject, ...]]:
        """Compose anew; *also*: what the recipe requires must hold."""
        verbs = recipe["verbs"]
        source = source_of(recipe["defaults"], instance, parent, binding, self._arm, self._options)
        found = known_of(binding)
        for verb in verbs:
            if also and "require" in verb and not pick(verb["require"]["that"], source):
                raise Impossible(verb["require"]["otherwise"])
        for made in binding.record["made"]:
            if made["verb"] == sas_policies.VERB:
                key = made["key"]
                answer = await post(key["resource"]["id"], key["name"], key["resource"]["api_version"])
                token = sas_policies.signed(self._options, made, answer)
                found[made["word"]] = {"token": token, "policy": made["policy"]}
        for verb in verbs:
            if "action" in verb:
                said, so_far = verb["action"], {**source, "made": found}
                target = picked(said["resource"], so_far, "the resource")
                answer = await post(target["id"], said["name"], target["api_version"])
                found[said["word"]] = picks_of(said, so_far, answer)
        return composed(verbs, {**source, "made": found})


def _present(work: Work, binding: ServiceBinding) -> dict[str, Any]:
    recipe = Recipe.of(work.operation)
    verbs = recipe.verbs(binding.parameters)
    if not reads_keys(verbs):
        raise Impossible(
            f"The credentials of the service binding '{binding.binding_id}' hold no key that is read from Azure: there "
            "is nothing to read again."
        )
    return {"verbs": list(verbs), "defaults": dict(recipe.bind_defaults)}
