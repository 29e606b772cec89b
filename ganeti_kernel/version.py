"""Version numbers of the software and of the formats it speaks."""

SOFTWARE_VERSION = "0.1.0"

CONFIG_MAJOR = 3
CONFIG_MINOR = 0

CONFIG_VERSION = CONFIG_MAJOR * 1_000_000 + CONFIG_MINOR * 10_000
"""Version of `config.data` and of LUXI, as upstream counts it (3.0 is 3000000)."""

PROTOCOL_VERSION = CONFIG_VERSION
EXPORT_VERSION = 0
OS_API_VERSIONS = frozenset({10, 15, 20})
RAPI_VERSION = 2
CONFD_PROTOCOL_VERSION = 1
