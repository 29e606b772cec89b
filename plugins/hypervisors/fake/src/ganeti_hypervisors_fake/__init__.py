"""Hypervisor `fake`: keeps a file for each instance that should run."""

__version__ = "0.1.0"

from ganeti_hypervisors_fake.hypervisor import FakeHypervisor

__all__ = ["FakeHypervisor"]
