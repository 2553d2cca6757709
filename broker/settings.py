"""
What an operator can set, in one place: the one reader of the environment.

A value comes from, in this order: the environment variable `BROKER_<NAME>`; for a secret the file that
`BROKER_<NAME>_FILE` names; the TOML file that `BROKER_SETTINGS_FILE` names (its keys are the names in lower
case); the default. Everything else in the broker is handed values.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from broker.setting_values import (
    Addresses,
    AnyDuration,
    ApiVersionOverrides,
    CertificatesFile,
    DatabaseUrl,
    Duration,
    Folder,
    HttpsUrl,
    KeyNames,
    OfferingNames,
    OperatorCredentials,
    Operators,
    Paths,
    PlatformCredentials,
    Platforms,
    Port,
    ProxyUrl,
    ReadableFile,
    Scopes,
    SealingKey,
    SealingKeys,
)

__all__ = [
    "DatabaseSettings",
    "OperatorCredentials",
    "PlatformCredentials",
    "SealingKey",
    "Settings",
    "SettingsError",
    "process_environment",
    "read_database_settings",
    "read_settings",
]

PREFIX = "BROKER_"

# Kubernetes gives each pod variables for every Service of its namespace; one named "broker" makes these.
_SERVICE_LINK = re.compile(r"(.*_)?(SERVICE_(HOST|PORT.*)|PORT(_\d+_(TCP|UDP|SCTP).*)?)")
_Kind = TypeVar("_Kind", bound="DatabaseSettings")


class SettingsError(Exception):
    """One or more settings are wrong; `faults` has one line for each, naming the variable and no secret."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


class DatabaseSettings(BaseSettings):
    """What `osb migrate` needs."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    database_url: DatabaseUrl = Field(
        description="The broker's database: `postgresql://user:password@host/name` (with "
        "`?pgbouncer=true` behind a transaction-mode pooler) or `sqlite:///file.db`."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the sources in order, the strongest first."""
        return init_settings, _Environment(settings_cls), _SettingsFile(settings_cls)


class Settings(DatabaseSettings):
    """Everything the broker can be told, checked once, at its start."""

    listen_database_url: DatabaseUrl | None = Field(
        default=None,
        description="PostgreSQL for LISTEN/NOTIFY where `BROKER_DATABASE_URL` is a transaction-mode pooler.",
    )
    broker_id: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")] = Field(
        description="This broker's permanent name: it is in the name and in the tags of every Azure resource."
    )
    platforms: Platforms = Field(
        default=(),
        description="Who may ask, as JSON: platform name to `username` with one or two `passwords`, "
        "or `bearer_tokens`.",
    )
    operators: Operators = Field(
        default=(),
        description="Who may use the admin API, as JSON: operator name to `role` (`read` or `operate`) and one "
        "or two `tokens`. Without it there is no admin API.",
    )
    sealing_keys: SealingKeys = Field(
        description="Keys that seal secrets in the database, each `key-id:base64 of 32 bytes`; the first one "
        "seals, all open."
    )
    lost_sealing_keys: KeyNames = Field(
        default=(),
        description="Names, separated by commas, of keys that are lost for good: what they sealed can only be deleted.",
    )

    host: str = Field(default="127.0.0.1", description="Address on which platforms are served.")
    port: Port = Field(default=8080, description="Port on which platforms are served.")
    health_host: str = Field(default="127.0.0.1", description="Address of health, readiness and metrics.")
    health_port: Port = Field(default=8081, description="Port of health, readiness and metrics.")
    admin_host: str = Field(
        default="127.0.0.1", description="Address of the admin API where it has a port of its own."
    )
    admin_port: Port | None = Field(
        default=None,
        description="Port of the admin API; if unset it is served where platforms are, under `/admin/v1`.",
    )
    tls_certificate_file: ReadableFile | None = Field(
        default=None, description="Certificate chain (PEM) for platforms and operators."
    )
    tls_key_file: ReadableFile | None = Field(
        default=None, description="Private key (PEM) of that certificate."
    )

    azure_cloud: Literal["public", "usgov", "china", "custom"] = Field(
        default="public", description="Which Azure. `custom` needs endpoint, scope and authority."
    )
    azure_endpoint: HttpsUrl | None = Field(
        default=None, description="Azure Resource Manager of a custom cloud."
    )
    azure_scope: str | None = Field(default=None, description="Token scope of a custom cloud.")
    azure_authority: HttpsUrl | None = Field(default=None, description="Login authority of a custom cloud.")
    azure_ca_file: CertificatesFile | None = Field(
        default=None,
        description="Certificates (PEM) trusted for Azure Resource Manager besides the system's.",
    )
    azure_api_versions: ApiVersionOverrides = Field(
        default={},
        description="For a cloud that lags: resource types with the api-version to ask for instead of the "
        "plans' own, such as `Microsoft.Storage/storageAccounts=2025-06-01`, with commas between.",
    )
    azure_proxy: ProxyUrl | None = Field(
        default=None,
        description="HTTP proxy for Azure Resource Manager and the login authority, such as "
        "`http://user:password@proxy:3128`; database servers are reached without it.",
    )
    azure_authentication: Literal[
        "workload-identity", "managed-identity", "client-secret", "default", "simulator"
    ] = Field(
        description="How the broker proves who it is. `default` is for a developer's machine, `simulator` "
        "reads a bearer token from `BROKER_AZURE_TOKEN_FILE`."
    )
    azure_token_file: Path | None = Field(default=None, description="File with the simulator's bearer token.")
    azure_tenant_id: str | None = Field(default=None, description="Microsoft Entra tenant.")
    azure_client_id: str | None = Field(default=None, description="Application or user-assigned identity.")
    azure_client_secret: SecretStr | None = Field(default=None, description="Secret of that application.")
    azure_federated_token_file: Path | None = Field(
        default=None, description="Service account token that workload identity exchanges."
    )
    azure_principal_id: Annotated[str, Field(pattern=r"^[0-9a-fA-F-]{36}$")] | None = Field(
        default=None,
        description="Object id of the broker's own service principal. With it and its name the broker is made "
        "administrator of the database servers that it creates, and bindings can have `auth` `entra`.",
    )
    azure_principal_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][-\w. ]{0,61}$")] | None = Field(
        default=None,
        description="Display name of that service principal, under which database servers know it.",
    )
    azure_subscription_id: Annotated[str, Field(pattern=r"^[0-9a-fA-F-]{36}$")] = Field(
        description="Subscription for plans that name none."
    )
    azure_resource_group: Annotated[str, Field(pattern=r"^[-\w.()]{1,89}[-\w()]$")] | None = Field(
        default=None,
        description="Resource group for plans with a shared group that name none; it must exist.",
    )
    azure_location: Annotated[str, Field(pattern=r"^[a-z0-9]+$")] = Field(
        description="Region where neither plan nor request names one, such as `westeurope`."
    )
    azure_poll_interval: Duration = Field(
        default=timedelta(seconds=5),
        description="How long to wait before looking at Azure's long work again.",
    )
    azure_call_share: Annotated[float, Field(ge=0.01, le=100)] = Field(
        default=1.0,
        description="The part of Azure's documented rate limits that this broker may use. Less than 1 leaves room for "
        "others who use its identity; more is for a subscription to which Azure has granted more.",
    )
    data_plane_ca_file: CertificatesFile | None = Field(
        default=None, description="Certificates (PEM) trusted for database servers instead of the system's."
    )
    adoption_scopes: Scopes = Field(
        default=(),
        description="Resource ids of the subscriptions and resource groups from which plans may adopt what exists, "
        "with commas between. If unset, the broker's own subscription, or, for plans that do nothing but adopt, its "
        "own resource group.",
    )
    egress_addresses: Addresses = Field(
        default=(), description="IPv4 addresses the broker connects from; database firewalls let these in."
    )

    catalog_folder: Folder | None = Field(
        default=None, description="Built-in offerings and plans; the shipped ones if unset."
    )
    catalog_built_in: OfferingNames = Field(
        default=("all",),
        description="Which of the built-in offerings are switched on: `all`, `none`, or their names with commas "
        "between. One that instances use stays until they are gone.",
    )
    legacy_catalog: Literal["off", "hidden", "listed"] = Field(
        default="off",
        description="Offerings of older brokers (OSBA, meta-azure-service-broker, Cloud Foundry's brokerpak), by their "
        "own ids: `hidden` serves imported service instances only, `listed` shows them and takes orders for those that "
        "have a successor. It cannot be switched off while instances use them.",
    )
    catalog_overlays: Paths = Field(
        default=(),
        description="Folders that add to the built-in offerings, change or hide them, with commas between; later ones "
        "are laid over earlier ones. They are watched.",
    )
    tenant_rules: ReadableFile | None = Field(
        default=None,
        description="File of tenant rules: who may order what, where it goes, and how much of it. It is followed when "
        "it changes. Without it everybody gets what plans and settings say.",
    )
    lease: Duration = Field(
        default=timedelta(seconds=30),
        description="How long a runner may be silent before another takes over.",
    )
    stop_within: Annotated[Duration, Field(ge=timedelta(seconds=2))] = Field(
        default=timedelta(seconds=20),
        description="How long an orderly stop may take: half of it for requests, most of the rest for steps.",
    )
    stop_after: AnyDuration = Field(
        default=timedelta(0),
        description="How long a process that is told to stop goes on serving first, while `/readyz` already answers "
        "503 and each answer asks for a new connection: the time that load balancers need to notice.",
    )
    in_flight: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=500, description="How many operations one runner carries at once."
    )
    inventory: bool = Field(
        default=True,
        description="Whether to look from time to time for resources without a record and records without a resource; "
        "operators can ask for it either way.",
    )
    inventory_interval: Duration = Field(
        default=timedelta(hours=1), description="How long to wait between two of these looks."
    )
    key_check: bool = Field(
        default=True,
        description="Whether to compare the account keys that were handed out with Azure's from time to time; "
        "operators can ask for it either way.",
    )
    key_check_interval: Duration = Field(
        default=timedelta(days=1), description="How long to wait between two of these comparisons."
    )
    history_retention: Duration = Field(
        default=timedelta(days=90), description="How long the history of what was deleted is kept."
    )
    request_wait: Annotated[Duration, Field(le=timedelta(seconds=50))] = Field(
        default=timedelta(seconds=50),
        description="How long a request waits at most, for its operation or the database; platforms give up at 60 s.",
    )
    body_limit: Annotated[int, Field(ge=1024, le=16 * 1024 * 1024)] = Field(
        default=1024 * 1024, description="Largest request body, in bytes."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level logged."
    )
    log_format: Literal["json", "text"] = Field(
        default="json", description="`text` is for people at a terminal."
    )

    tracing: bool = Field(
        default=False,
        description="Traces by OpenTelemetry, from requests to calls to Azure; its own OTEL_ variables say where to.",
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        faults = [line for line in self._contradictions() if line]
        if faults:
            raise ValueError("\n".join(faults))
        return self

    def _contradictions(self) -> list[str]:
        def needs(name: str, because: str) -> str:
            return "" if getattr(self, name) is not None else f"{PREFIX}{name.upper()}: is needed {because}"

        faults = []
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            faults += [
                needs(name, "since its other half is set")
                for name in ("tls_certificate_file", "tls_key_file")
            ]
        custom = ("azure_endpoint", "azure_scope", "azure_authority")
        if self.azure_cloud == "custom":
            faults += [needs(name, "by BROKER_AZURE_CLOUD=custom") for name in custom]
        else:
            faults += [
                f"{PREFIX}{name.upper()}: is only for BROKER_AZURE_CLOUD=custom"
                for name in custom
                if getattr(self, name) is not None
            ]
        mode = f"by BROKER_AZURE_AUTHENTICATION={self.azure_authentication}"
        if self.azure_authentication == "client-secret":
            faults += [
                needs(name, mode) for name in ("azure_tenant_id", "azure_client_id", "azure_client_secret")
            ]
        if self.azure_authentication == "simulator":
            faults.append(needs("azure_token_file", mode))
            if self.azure_cloud != "custom":
                faults.append("BROKER_AZURE_AUTHENTICATION: simulator needs BROKER_AZURE_CLOUD=custom")
        if (self.azure_principal_id is None) != (self.azure_principal_name is None):
            faults += [
                needs(name, "since its other half is set")
                for name in ("azure_principal_id", "azure_principal_name")
            ]
        if self.admin_port is not None and not self.operators:
            faults.append("BROKER_ADMIN_PORT: is of no use without BROKER_OPERATORS")
        of_platforms = {
            secret for platform in self.platforms for secret in (*platform.passwords, *platform.bearer_tokens)
        }
        if any(of_platforms & set(operator.bearer_tokens) for operator in self.operators):
            faults.append("BROKER_OPERATORS: an operator's token is a platform's password or token too")
        if self.listen_database_url and self.database_url.get_secret_value().startswith("sqlite"):
            faults.append("BROKER_LISTEN_DATABASE_URL: is of no use with SQLite")
        return faults


def read_settings(**given: Any) -> Settings:
    """
    Read and check all settings; *given* ones win over environment and file.

    Raises:
        SettingsError: One line per fault, each naming its variable, none showing a secret.
    """
    return _checked(Settings, given)


def read_database_settings(**given: Any) -> DatabaseSettings:
    """
    Read and check what `osb migrate` needs; other settings may be missing or wrong.

    Raises:
        SettingsError: One line per fault.
    """
    return _checked(DatabaseSettings, given)


def process_environment() -> dict[str, str]:
    """Return the environment to hand to child processes."""
    return dict(os.environ)


def secret_names() -> list[str]:
    """Name the settings that may come from a file of their own, `BROKER_<NAME>_FILE`."""
    return [name for name, about in Settings.model_fields.items() if _is_secret(name, about)]


def unknown_variables() -> list[str]:
    """Name the `BROKER_` variables that mean nothing to the broker, most likely misspelt."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    known |= {f"{PREFIX}{name.upper()}_FILE" for name in secret_names()} | {PREFIX + "SETTINGS_FILE"}
    return sorted(
        name
        for name in os.environ
        if name.startswith(PREFIX)
        and name not in known
        and not _SERVICE_LINK.fullmatch(name.removeprefix(PREFIX))
    )


def _checked(kind: type[_Kind], given: Mapping[str, Any]) -> _Kind:
    faults: list[str] = []
    if kind is Settings:
        faults += [f"{name}: is no setting of the broker" for name in unknown_variables()]
    try:
        settings = kind(**given)
    except ValidationError as fault:
        # `include_input` stays off: the input may be a secret.
        for error in fault.errors(include_url=False, include_input=False, include_context=False):
            name = PREFIX + str(error["loc"][0]).upper() if error["loc"] else ""
            text = error["msg"].removeprefix("Value error, ")
            if error["type"] == "missing":
                text = "is needed"
            faults += [f"{name}: {line}" if name else line for line in text.splitlines()]
        raise SettingsError(faults) from None
    if faults:
        raise SettingsError(faults)
    return settings


def _is_secret(name: str, about: FieldInfo) -> bool:
    return name in {"operators", "platforms", "sealing_keys"} or "SecretStr" in str(about.annotation)


class _Environment(PydanticBaseSettingsSource):
    """`BROKER_<NAME>`, and for secrets the content of the file that `BROKER_<NAME>_FILE` names."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        variable = PREFIX + field_name.upper()
        value = os.environ.get(variable)
        if field_name == "port" and value and re.match(r"(tcp|udp|sctp)://", value):
            # A Kubernetes Service link, not a setting: see _SERVICE_LINK.
            value = None
        path = os.environ.get(variable + "_FILE") if _is_secret(field_name, field) else None
        if path is None:
            return value, field_name, False
        if value is not None:
            raise SettingsError([f"{variable}: is set together with {variable}_FILE; one of them must go"])
        return _content(path, f"{variable}_FILE").strip(), field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {
            name: self.get_field_value(about, name)[0]
            for name, about in self.settings_cls.model_fields.items()
        }
        return {name: value for name, value in found.items() if value not in {None, ""}}


class _SettingsFile(PydanticBaseSettingsSource):
    """The TOML file that `BROKER_SETTINGS_FILE` names."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError

    def __call__(self) -> dict[str, Any]:
        path = os.environ.get(PREFIX + "SETTINGS_FILE")
        if not path:
            return {}
        try:
            read = tomllib.loads(_content(path, PREFIX + "SETTINGS_FILE"))
        except tomllib.TOMLDecodeError as fault:
            raise SettingsError([f"{PREFIX}SETTINGS_FILE: {path} is not TOML: {fault}"]) from None
        if unknown := sorted(set(read) - set(Settings.model_fields)):
            raise SettingsError([f"{PREFIX}SETTINGS_FILE: {path} has unknown keys: {', '.join(unknown)}"])
        return {name: value for name, value in read.items() if name in self.settings_cls.model_fields}


def _content(path: str, variable: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) else "it is not UTF-8 text"
        raise SettingsError([f"{variable}: {path} cannot be read: {reason}"]) from None
