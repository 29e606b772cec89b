"""Whether KVM works here, found out by booting something under it.

That /dev/kvm opens says little: under another hypervisor it may accept guests that then stand
still as soon as they leave real mode. So a guest of half a kilobyte is booted that does what a
kernel does first. It reports through QEMU's debug-exit device; QEMU's exit code is the answer.
"""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path
from typing import Final

from ganeti_kernel.errors import CommandError
from ganeti_kernel.plugins import process

log = logging.getLogger(__name__)

DEVICE: Final = Path("/dev/kvm")
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
TIMEOUT: Final = 6.0
"""Seconds; where KVM works the guest is through in a tenth of one."""

SUCCESS: Final = (0x21 << 1) | 1
"""QEMU's exit code when the guest writes 0x21 to the debug-exit port."""

GUEST: Final = bytes.fromhex(
    "fa31c08ed88ec08ed0bf0010b90018f3abc70600100320c70600200330c7060030830066b8200000000f22e0"
    "66b8001000000f22d866b9800000c00f32660d000100000f300f0116e07c0f20c0660d010000800f22c0ea5b"
    "7c0800b8100000008ed88ec08ed0bc007000000f20c083e0fb83c8020f22c00f20e00d000600000f22e0660f"
    "efc0b98b00000031c031d20f30b8010000000fa2b98b0000000f32b9010100c031c031d20f300f20d80f22d8"
    "be00800000bf00900000b900100000f3a4b021e6f4f4ebfd000000000000000000000000009a200000000000"
    "009200001700c87c"
)
"""A boot sector: page tables for 2 MiB, EFER.LME through rdmsr and wrmsr, long mode; then SSE on
and used, the microcode MSR, CPUID, the GS base, a TLB flush, a string copy; then 0x21 to port
0xf4."""


def choose(kvm_path: str, run_dir: Path) -> str:
    """Return "kvm" or "tcg"; the answer is kept until the machine boots again."""
    if not DEVICE.exists():
        return "tcg"
    cache = run_dir / "accelerator"
    stamp = f"{_boot_id()} {kvm_path}"
    try:
        known, _, answer = cache.read_text().strip().rpartition(" ")
        if known == stamp and answer in ("kvm", "tcg"):
            return answer
    except OSError:
        pass  # not known yet
    answer = "kvm" if works(kvm_path) else "tcg"
    if answer == "tcg":
        log.warning("KVM does not work on this node though %s is there: guests run slowly", DEVICE)
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.write_text(f"{stamp} {answer}\n")
    except OSError as error:
        log.warning("cannot keep %s: %s", cache, error)
    return answer


def works(kvm_path: str, accel: str = "kvm", timeout: float = TIMEOUT) -> bool:
    """Boot the guest above; with KVM, QEMU must also say that it is enabled."""
    commands = ("qmp_capabilities", "query-kvm", "cont")
    script = "".join(json.dumps({"execute": command}) + "\n" for command in commands)
    with tempfile.TemporaryDirectory(prefix="kvm-probe-") as directory:
        image = Path(directory) / "boot.img"
        image.write_bytes(GUEST.ljust(510, b"\0") + b"\x55\xaa")
        argv = [kvm_path, "-accel", accel, "-S", "-m", "16", "-nodefaults", "-no-reboot"]
        argv += ["-display", "none", "-serial", "none", "-qmp", "stdio"]
        argv += ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
        argv += ["-drive", f"file={image},format=raw,if=ide,snapshot=on"]
        try:
            finished = process.run(argv, timeout=timeout, stdin=script.encode())
        except CommandError as error:
            log.info("probe of %s: %s", accel, error)
            return False
    log.info("probe of %s: exit code %d", accel, finished.code)
    return finished.code == SUCCESS and (accel != "kvm" or _kvm_enabled(finished.output))


def _kvm_enabled(output: str) -> bool:
    """Look for query-kvm's answer among QEMU's messages."""
    for line in output.splitlines():
        try:
            answer = json.loads(line).get("return")
        except (ValueError, AttributeError):
            continue
        if isinstance(answer, dict) and answer.get("enabled") is True:
            return True
    return False


def _boot_id() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return "unknown"
