"""Cluster balancing and instance placement, usable with or without a running cluster.

Layers, each importing only what is above it in this list: ``model`` (immutable cluster data),
``state`` (a placement of instances and what follows from it per node), ``loaders`` (text, LUXI,
RAPI, simulation, IAllocator), ``score``, ``moves``, and the programs.
"""

__version__ = "0.1.0"
