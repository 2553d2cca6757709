"""The functions of ARM templates over URIs, encodings, times and address ranges."""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any
from urllib.parse import quote, unquote, urljoin

from broker.simulator.arm_errors import InvalidTemplate

DURATION = re.compile(
    r"(?P<sign>-?)P(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)S)?)?"
)
BASIC = "%Y%m%dT%H%M%SZ"
# The custom formats of .NET that templates use, by what Python calls them; longest first.
FORMATS = {
    "yyyy": "%Y",
    "MM": "%m",
    "dd": "%d",
    "HH": "%H",
    "mm": "%M",
    "ss": "%S",
    "yy": "%y",
}


def data_uri(text: str) -> str:
    return f"data:text/plain;charset=utf8;base64,{base64.b64encode(text.encode()).decode()}"


def data_uri_to_string(uri: str) -> str:
    head, _, body = uri.partition(",")
    return base64.b64decode(body).decode() if head.endswith(";base64") else unquote(body)


def written(moment: datetime, how: str | None) -> str:
    """
    A time as a template asks for it.

    Raises:
        InvalidTemplate: The format is none of those known here.
    """
    if how is None:
        return moment.strftime(BASIC)
    if how in {"u", "s"}:
        return moment.strftime("%Y-%m-%d %H:%M:%SZ" if how == "u" else "%Y-%m-%dT%H:%M:%S")
    left = re.sub("|".join(FORMATS), "", how)
    if re.search("[A-Za-z]", left.replace("T", "").replace("Z", "")):
        raise InvalidTemplate(f"The date format '{how}' is not supported by this simulator")
    return moment.strftime(re.sub("|".join(FORMATS), lambda match: FORMATS[match[0]], how))


def utc_now(how: str | None = None) -> str:
    return written(datetime.now(UTC), how)


def date_time_add(base: str, duration: str, how: str | None = None) -> str:
    return written(_moment(base) + _length(duration), how)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _length(text: str) -> timedelta:
    match = DURATION.fullmatch(text)
    if match is None:
        raise InvalidTemplate(f"'{text}' is no ISO 8601 duration")
    part = {name: int(value or 0) for name, value in match.groupdict().items() if name != "sign"}
    days = part["years"] * 365 + part["months"] * 30 + part["weeks"] * 7 + part["days"]
    length = timedelta(days=days, hours=part["hours"], minutes=part["minutes"], seconds=part["seconds"])
    return -length if match["sign"] else length


def _range(text: str) -> IPv4Network | IPv6Network:
    return ip_network(text, strict=False)


def parse_cidr(text: str) -> dict[str, Any]:
    network = _range(text)
    shown: dict[str, Any] = {
        "network": str(network.network_address),
        "netmask": str(network.netmask),
        "cidr": network.prefixlen,
    }
    if isinstance(network, IPv4Network):
        few = network.prefixlen >= 31
        shown |= {
            "broadcast": str(network.broadcast_address),
            "firstUsable": str(network[0] if few else network[1]),
            "lastUsable": str(network[-1] if few else network[-2]),
        }
    return shown


def cidr_subnet(text: str, prefix: int, index: int) -> str:
    network = _range(text)
    size = 2 ** (network.max_prefixlen - prefix)
    if prefix < network.prefixlen or not 0 <= index < network.num_addresses // size:
        raise InvalidTemplate(f"The address range '{text}' has no subnet /{prefix} of index {index}")
    return f"{network.network_address + index * size}/{prefix}"


def cidr_host(text: str, index: int) -> str:
    network = _range(text)
    return str(network[index + 1])


TEXTS: Mapping[str, Callable[..., Any]] = {
    "base64tojson": lambda text: json.loads(base64.b64decode(text)),
    "cidrhost": cidr_host,
    "cidrsubnet": cidr_subnet,
    "datauri": data_uri,
    "datauritostring": data_uri_to_string,
    "datetimeadd": date_time_add,
    "datetimefromepoch": lambda seconds: datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    "datetimetoepoch": lambda text: int(_moment(text).timestamp()),
    "parsecidr": parse_cidr,
    "uri": urljoin,
    "uricomponent": lambda text: quote(text, safe="-._~"),
    "uricomponenttostring": unquote,
}
# Only in the default value of a parameter: another deployment of the same gives something else.
OF_DEFAULTS: Mapping[str, Callable[..., Any]] = {"newguid": lambda: str(uuid.uuid4()), "utcnow": utc_now}
