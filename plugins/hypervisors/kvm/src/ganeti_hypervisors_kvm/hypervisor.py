"""The plugin class."""

from __future__ import annotations

import ipaddress
import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ganeti_hypervisors_kvm import (
    __version__,
    accel,
    checks,
    command,
    drives,
    processes,
    program,
    qmp,
    reset,
    taps,
)
from ganeti_hypervisors_kvm.parameters import PARAMETERS
from ganeti_hypervisors_kvm.rundir import RunDir
from ganeti_kernel.errors import CommandError, HypervisorError
from ganeti_kernel.objects import Guest
from ganeti_kernel.plugins import process
from ganeti_kernel.specs import Description, PluginContext, hookimpl, host
from ganeti_kernel.specs.hypervisor import Console, Hypervisor, InstanceState, NodeResources

log = logging.getLogger(__name__)

MIB: Final = 1 << 20
START_TIMEOUT: Final = 300.0
"""Seconds until QEMU has opened everything (huge pages take long) and is in the background."""

BALLOON_TIMEOUT: Final = 1.0
POWERDOWN_EVERY: Final = 5.0
"""Seconds after which an unheeded power button is pressed again."""

VHOST_DEVICE: Final = Path("/dev/vhost-net")
MAX_PASSWORD_BYTES: Final = 256

DESCRIPTION = Description(
    name="kvm",
    version=__version__,
    summary="Guests under QEMU, with KVM where it works",
    parameters=PARAMETERS,
    features=frozenset({"balloon", "powercycle"}),
)


class KvmHypervisor(Hypervisor):
    """Each guest is a QEMU in the background; what runs is told by pid files and /proc."""

    API_VERSION = 2

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context)
        self._files = RunDir(context.paths)

    @hookimpl
    def describe(self) -> Description:
        return DESCRIPTION

    # -- looking ---------------------------------------------------------------------------------

    @hookimpl
    def verify(self, hvparams: Mapping[str, Any]) -> Sequence[str]:
        try:
            program.version(str(hvparams.get("kvm_path") or "/usr/bin/kvm"))
        except HypervisorError as error:
            return [str(error)]
        return []

    @hookimpl
    def check_parameters(self, hvparams: Mapping[str, Any]) -> Sequence[str]:
        problems = [*checks.across(hvparams), *checks.on_node(hvparams)]
        machine = str(hvparams.get("machine_version") or "")
        if machine and not problems:
            known = program.machines(str(hvparams["kvm_path"]))
            if machine.partition(",")[0] not in known:
                problems.append(f"machine_version: QEMU on this node does not know {machine!r}")
        return problems

    @hookimpl
    def node_resources(self, hvparams: Mapping[str, Any]) -> NodeResources:
        try:
            version = program.version(str(hvparams.get("kvm_path") or "/usr/bin/kvm"))
        except HypervisorError:
            version = ""
        return host.resources(hv_version=version)

    @hookimpl
    def list_instances(self) -> Sequence[InstanceState]:
        states = (self.instance_state(name) for name in self._files.names())
        return [state for state in states if state is not None]

    @hookimpl
    def instance_state(self, name: str) -> InstanceState | None:
        found = self._look(name)
        if found is None:
            return None
        return InstanceState(
            name=name,
            id=found.pid,
            memory=self._memory(name, found),
            vcpus=found.vcpus,
            cpu_time=found.cpu_time,
        )

    @hookimpl
    def console(self, guest: Guest, node: str) -> Console:
        params = guest.hvparams
        if params.get("serial_console", True):
            socket = self._files.control(guest.name, "serial")
            argv = [sys.executable, "-m", "ganeti_hypervisors_kvm.console", str(socket)]
            return Console(instance=guest.name, kind="ssh", host=node, user="root", command=argv)
        port = guest.network_port
        for kind, key in (("vnc", "vnc_bind_address"), ("spice", "spice_bind")):
            bind = str(params.get(key) or "")
            if bind and not bind.startswith("/") and port:
                where = node if _is_any(bind) else bind
                display = port - command.VNC_BASE_PORT if kind == "vnc" else None
                return Console(
                    instance=guest.name, kind=kind, host=where, port=port, display=display
                )
        return Console(
            instance=guest.name,
            kind="msg",
            message=f"instance {guest.name} has no console: neither serial, VNC nor SPICE is on",
        )

    # -- starting --------------------------------------------------------------------------------

    @hookimpl
    def start_instance(self, guest: Guest, paused: bool) -> None:
        if self._look(guest.name) is not None:
            if not paused:
                self._carry_on(guest)
            return
        self._files.prepare()
        cut_off = self._files.load(guest.name) is not None
        self._end(guest.name)
        try:
            self._start(guest, paused)
        except HypervisorError as error:
            if not cut_off:
                raise
            # The QEMU of a start that was cut off can come up late and be in the way, once.
            log.info("starting %s again: %s", guest.name, error)
            self._start(guest, paused)

    def _start(self, guest: Guest, paused: bool) -> None:
        try:
            self._launch(guest)
            self._set_up(guest)
            if not paused:
                self._ask(guest.name, ("cont", {}))
        except Exception:  # a defect, too, must not leave taps behind
            self._end(guest.name)
            raise

    def _carry_on(self, guest: Guest) -> None:
        """Finish a start that was cut off, by the node daemon's end or by being asked to wait."""
        socket = self._files.control(guest.name, "qmp")
        # It has its pid file before its sockets.
        (answer,) = qmp.execute(socket, guest.name, ("query-status", {}), patient=True)
        if answer.get("status") == "prelaunch":
            self._set_up(guest)
            self._ask(guest.name, ("cont", {}))

    def _launch(self, guest: Guest) -> None:
        """Connect the NICs and start QEMU, which then waits for `cont`."""
        params = guest.hvparams
        # What is needed to clean up is written before there is anything to clean up.
        self._files.save(guest, [])
        machine = command.Machine(
            guest=guest,
            accel=self._accel(params),
            files=self._command_files(guest),
            drives=[drives.drive(self.context, disk) for disk in guest.disks],
            interfaces=self._connect(guest),
            vnc_port=guest.network_port,
            run_with=program.at_least(str(params["kvm_path"]), 9, 1),
        )
        argv = command.build(machine)
        self._files.save(guest, argv)
        logged = self._files.log_size(guest.name)
        try:
            process.check(argv, timeout=START_TIMEOUT)
        except CommandError as error:
            # In the background QEMU speaks to its log.
            words = self._files.log_since(guest.name, logged)
            text = f"cannot start instance {guest.name}: {error}"
            raise HypervisorError(f"{text}\n{words}" if words else text) from error

    def _accel(self, params: Mapping[str, Any]) -> str:
        flag = params.get("kvm_flag")
        if flag:
            return "kvm" if flag == "enabled" else "tcg"
        return accel.choose(str(params["kvm_path"]), self._files.base)

    def _command_files(self, guest: Guest) -> command.Files:
        name, files = guest.name, self._files
        if guest.hvparams.get("use_chroot"):
            files.chroot(name).mkdir(exist_ok=True)
        return command.Files(
            pid=files.pid(name),
            log=files.log(name),
            monitor=files.control(name, "monitor"),
            serial=files.control(name, "serial"),
            qmp=files.control(name, "qmp"),
            agent=files.control(name, "qga"),
            chroot=files.chroot(name),
        )

    def _connect(self, guest: Guest) -> list[command.Interface]:
        """Make and connect the taps; without privileges QEMU's own network takes their place."""
        if not taps.usable():
            if guest.nics:
                log.warning(
                    "instance %s: taps need root and %s; its NICs use QEMU's user network",
                    guest.name,
                    taps.DEVICE,
                )
            return [command.Interface(nic, None) for nic in guest.nics]
        params = guest.hvparams
        queues = int(params.get("virtio_net_queues") or 1)
        vnet_hdr = bool(params.get("vnet_hdr", True))
        vhost = bool(params.get("vhost_net", True)) and VHOST_DEVICE.exists()
        made = []
        for nic in guest.nics:
            tap = taps.name_for(str(self.context.paths.root), guest.name, nic.uuid)
            self._files.save_interface(guest.name, nic.index, tap)
            taps.create(tap, vnet_hdr=vnet_hdr, queues=queues)
            if self.context.nics is not None:
                self.context.nics.up(guest, nic, tap)
            made.append(command.Interface(nic, tap, vhost))
        return made

    def _set_up(self, guest: Guest) -> None:
        """What can only be told to a QEMU that runs: passwords, memory, CPUs."""
        params = guest.hvparams
        wanted: list[qmp.Command] = []
        for kind in ("vnc", "spice"):
            file = str(params.get(f"{kind}_password_file") or "")
            if file:
                password = _read_password(Path(file))
                wanted.append(("set_password", {"protocol": kind, "password": password}))
        free = host.resources().memory_free + guest.maxmem
        memory = host.startup_memory(guest, free)
        if memory < guest.maxmem:
            wanted.append(("balloon", {"value": memory * MIB}))
        self._ask(guest.name, *wanted, ("query-status", {}))
        self._pin(guest)

    def _pin(self, guest: Guest) -> None:
        masks = checks.parse_cpu_mask(str(guest.hvparams.get("cpu_mask") or "all"))
        if not masks:
            return
        cpus = self._ask(guest.name, ("query-cpus-fast", {}))[0]
        for number, cpu in enumerate(cpus):
            mask = masks[0] if len(masks) == 1 else masks[number % len(masks)]
            if not mask:
                continue
            try:
                os.sched_setaffinity(int(cpu["thread-id"]), mask)
            except OSError as error:
                raise HypervisorError(
                    f"cpu_mask of {guest.name}: this node cannot use CPUs {sorted(mask)}:"
                    f" {error.strerror}"
                ) from error

    # -- stopping --------------------------------------------------------------------------------

    @hookimpl
    def stop_instance(self, name: str, force: bool, timeout: float) -> None:
        found = self._look(name)
        if found is not None and not force and self._has_acpi(name):
            self._shut_down(name, found.pid, timeout)
        self._end(name)

    @hookimpl
    def reboot_instance(self, guest: Guest) -> None:
        self._require(guest)
        self._ask(guest.name, ("system_reset", {}))

    @hookimpl
    def balloon_memory(self, guest: Guest, memory: int) -> None:
        self._require(guest)
        self._ask(guest.name, ("balloon", {"value": memory * MIB}))

    def _shut_down(self, name: str, pid: int, timeout: float) -> None:
        """Press the power button until the guest goes or its time is up."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            try:
                self._ask(name, ("system_powerdown", {}), timeout=min(left, qmp.TIMEOUT))
            except HypervisorError as error:
                log.info("%s", error)
            if processes.wait_gone(pid, self._files.pid(name), min(left, POWERDOWN_EVERY)):
                return
        log.warning("instance %s did not shut down in %g s: ended by force", name, timeout)

    def _end(self, name: str) -> None:
        """Kill QEMU if it runs, also one that is only starting, and clean up after it."""
        pidfile = self._files.pid(name)
        recorded = self._files.read_pid(name)
        pids = [*processes.find(pidfile), *([recorded] if recorded is not None else [])]
        for pid in pids:
            if not processes.kill(pid, pidfile):
                raise HypervisorError(
                    f"QEMU of instance {name} (process {pid}) does not end: it hangs in the"
                    " kernel, most likely in storage; look at the node's log"
                )
        self._clean_up(name)

    def _clean_up(self, name: str) -> None:
        guest = self._files.load(name)
        nics = {nic.index: nic for nic in guest.nics} if guest else {}
        for index, tap in self._files.interfaces(name).items():
            if guest is not None and index in nics and self.context.nics is not None:
                self.context.nics.down(guest, nics[index], tap)
            if taps.usable():
                taps.delete(tap)
        self._files.forget(name)

    @hookimpl
    def powercycle_node(self, hvparams: Mapping[str, Any], delay: float) -> None:
        reset.schedule(self.context.paths.root, delay)

    # -- small -----------------------------------------------------------------------------------

    def _look(self, name: str) -> processes.Qemu | None:
        return processes.look(self._files.read_pid(name), self._files.pid(name))

    def _require(self, guest: Guest) -> None:
        if self._look(guest.name) is None:
            raise HypervisorError(f"instance {guest.name} does not run on this node; start it")

    def _ask(self, name: str, *commands: qmp.Command, timeout: float = qmp.TIMEOUT) -> list[Any]:
        return qmp.execute(self._files.control(name, "qmp"), name, *commands, timeout=timeout)

    def _has_acpi(self, name: str) -> bool:
        guest = self._files.load(name)
        return guest is None or bool(guest.hvparams.get("acpi", True))

    def _memory(self, name: str, found: processes.Qemu) -> int:
        """MiB the guest has; what it was started with when its balloon does not answer."""
        try:
            answer = self._ask(name, ("query-balloon", {}), timeout=BALLOON_TIMEOUT)[0]
            return int(answer["actual"]) // MIB
        except (HypervisorError, KeyError, TypeError, ValueError):
            return found.memory


def _read_password(file: Path) -> str:
    """The first line; the error never quotes it."""
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_PASSWORD_BYTES)
        return data.decode("utf-8").splitlines()[0]
    except (OSError, UnicodeDecodeError, IndexError):
        raise HypervisorError(f"cannot read a password from {file}") from None


def _is_any(bind: str) -> bool:
    """Say whether an address means all of the node's."""
    try:
        return ipaddress.ip_address(bind).is_unspecified
    except ValueError:
        return False
