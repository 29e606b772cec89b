"""Hypervisor `kvm`: guests under QEMU, with KVM where it works."""

__version__ = "0.1.0"

from ganeti_hypervisors_kvm.hypervisor import KvmHypervisor

__all__ = ["KvmHypervisor"]
