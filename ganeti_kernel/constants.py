"""Numbers and names that several rooms share; from upstream 3.0 unless said otherwise."""

from __future__ import annotations

from typing import Final

NODED_PORT: Final = 1811
CONFD_PORT: Final = 1814
MOND_PORT: Final = 1815
RAPI_PORT: Final = 5080
PORT_POOL: Final = (11000, 14999)

MAX_DISKS: Final = 16
MAX_NICS: Final = 8
MAX_TAG_LENGTH: Final = 128
MAX_TAGS: Final = 4096

RPC_CONNECT_TIMEOUT: Final = 5
"""Seconds to open a connection to a node daemon."""

RPC_FAN_OUT: Final = 32
"""Node calls in flight at once."""

MAX_CONFIG_BYTES: Final = 256 << 20
"""Largest `config.data` that is read; 200 nodes with 4,000 instances need about 12 MiB."""

MAX_SSCONF_BYTES: Final = 128 << 10

DEFAULT_MAC_PREFIX: Final = "aa:00:00"
DEFAULT_GROUP: Final = "default"

EXIT_SUCCESS: Final = 0
EXIT_FAILURE: Final = 1
EXIT_USAGE: Final = 2
EXIT_NOT_CLUSTER: Final = 5
EXIT_NOT_MASTER: Final = 11
EXIT_NODE_SETUP: Final = 12
EXIT_CONFIRMATION: Final = 13
EXIT_UNKNOWN_FIELD: Final = 14

VERIFY_CODES: Final = {
    "ECLUSTERCERT": "cluster",
    "ECLUSTERCFG": "cluster",
    "ECLUSTERCLIENTCERT": "cluster",
    "ECLUSTERDANGLINGINST": "instance",
    "ECLUSTERDANGLINGNODES": "node",
    "ECLUSTERFILECHECK": "cluster",
    "EEXTAGS": "cluster",
    "EGROUPDIFFERENTPVSIZE": "group",
    "EINSTANCEBADNODE": "instance",
    "EINSTANCEDOWN": "instance",
    "EINSTANCEFAULTYDISK": "instance",
    "EINSTANCELAYOUT": "instance",
    "EINSTANCEMISSINGCFGPARAMETER": "instance",
    "EINSTANCEMISSINGDISK": "instance",
    "EINSTANCEPOLICY": "instance",
    "EINSTANCESPLITGROUPS": "instance",
    "EINSTANCEUNSUITABLENODE": "instance",
    "EINSTANCEWRONGNODE": "instance",
    "ENODEDRBD": "node",
    "ENODEDRBDHELPER": "node",
    "ENODEDRBDVERSION": "node",
    "ENODEFILECHECK": "node",
    "ENODEFILESTORAGEPATHS": "node",
    "ENODEFILESTORAGEPATHUNUSABLE": "node",
    "ENODEGLUSTERSTORAGEPATHUNUSABLE": "node",
    "ENODEHOOKS": "node",
    "ENODEHV": "node",
    "ENODELVM": "node",
    "ENODEN1": "node",
    "ENODENET": "node",
    "ENODEOOBPATH": "node",
    "ENODEORPHANINSTANCE": "node",
    "ENODEORPHANLV": "node",
    "ENODEOS": "node",
    "ENODERPC": "node",
    "ENODESETUP": "node",
    "ENODESHAREDFILESTORAGEPATHUNUSABLE": "node",
    "ENODESSH": "node",
    "ENODETIME": "node",
    "ENODEUSERSCRIPTS": "node",
    "ENODEVERSION": "node",
}
"""Error code of `gnt-cluster verify` -> kind of object it is about: all that can be ignored."""
