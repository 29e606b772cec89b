"""gnt-cluster renew-crypto: new keys and certificates for a cluster that goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ganeti_cli import master
from ganeti_cli.app import Misuse
from ganeti_cli.asking import confirm
from ganeti_cli.options import options
from ganeti_kernel.errors import OpPrereqError
from ganeti_kernel.paths import Paths

_FILE = click.Path(path_type=Path)
_QUESTION = (
    "Keys and certificates of the cluster are renewed. Clients that know the old ones (of RAPI, "
    "confd or SPICE) must be told. Continue?"
)

_EXCLUSIVE = (
    ("new_rapi", "rapi_certificate", "--new-rapi-certificate", "--rapi-certificate"),
    ("new_secret", "domain_secret", "--new-cluster-domain-secret", "--cluster-domain-secret"),
    ("new_spice", "spice_certificate", "--new-spice-certificate", "--spice-certificate"),
)


@click.command("renew-crypto")
@click.option(
    "--new-cluster-certificate",
    "new_cluster",
    is_flag=True,
    help="A new authority, and with it new certificates for all nodes.",
)
@click.option(
    "--new-node-certificates",
    "new_nodes",
    is_flag=True,
    help="A new key and certificate for every node.",
)
@click.option(
    "--new-confd-hmac-key", "new_hmac", is_flag=True, help="A new key that signs confd's messages."
)
@click.option(
    "--new-rapi-certificate", "new_rapi", is_flag=True, help="A new, self-signed one for RAPI."
)
@click.option(
    "--rapi-certificate", type=_FILE, metavar="FILE", help="RAPI's key and certificate, PEM."
)
@click.option(
    "--new-spice-certificate", "new_spice", is_flag=True, help="A new, self-signed one for SPICE."
)
@click.option(
    "--spice-certificate", type=_FILE, metavar="FILE", help="SPICE's key and certificate, PEM."
)
@click.option(
    "--spice-ca-certificate", "spice_ca", type=_FILE, metavar="FILE", help="Who signed it, PEM."
)
@click.option(
    "--new-cluster-domain-secret",
    "new_secret",
    is_flag=True,
    help="A new secret for moves of instances between clusters.",
)
@click.option(
    "--cluster-domain-secret",
    "domain_secret",
    type=_FILE,
    metavar="FILE",
    help="That secret from a file.",
)
@click.option("--new-ssh-keys", is_flag=True, help="Refused: nodes use no ssh among themselves.")
@click.option("--no-ssh-key-check", is_flag=True, help="Accepted; there is nothing to check.")
@click.option("--ssh-key-type", type=click.Choice(["dsa", "ecdsa", "rsa"]), help="As new-ssh-keys.")
@click.option("--ssh-key-bits", type=click.IntRange(min=1), help="As new-ssh-keys.")
@options("force", "verbose")
def renew_crypto(force: bool, verbose: bool, **given: Any) -> int:
    """Renew keys and certificates while the cluster goes on.

    What was cut off is carried on when the command is given again.
    """
    _check(given)
    paths = Paths.from_environment()
    trail = master.reason_trail("gnt-cluster", "renew-crypto", given["reason"])
    with master.connect() as client:  # only the master has what is needed
        if not force:
            confirm(_QUESTION, "--force")
        _prepare(paths, given)
        opcode = {
            "OP_ID": "OP_CLUSTER_RENEW_CRYPTO",
            "node_certificates": given["new_nodes"],
            "renew_ssh_keys": given["new_ssh_keys"],
            "ssh_key_type": given["ssh_key_type"],
            "ssh_key_bits": given["ssh_key_bits"],
            "verbose": verbose,
            "reason": trail,
        }
        master.run_job(client, [opcode])
    click.echo("All requested certificates and keys have been replaced.")
    return 0


def _check(given: dict[str, Any]) -> None:
    for new, file, new_option, file_option in _EXCLUSIVE:
        if given[new] and given[file] is not None:
            raise Misuse(f"{new_option} and {file_option} exclude each other")
    if (given["spice_certificate"] is None) != (given["spice_ca"] is None):
        raise Misuse("--spice-certificate and --spice-ca-certificate belong together")
    wanted = [value for key, value in given.items() if key not in ("no_ssh_key_check", "reason")]
    if not any(value for value in wanted if value is not None):
        raise Misuse("say what to renew; `gnt-cluster renew-crypto --help` lists it")
    if given["new_ssh_keys"] or given["ssh_key_type"] or given["ssh_key_bits"]:
        raise OpPrereqError(
            "there are no ssh keys to renew: the nodes of this cluster do not use ssh among "
            "themselves",
            "wrong_input",
        )


def _prepare(paths: Paths, given: dict[str, Any]) -> None:
    """Have the new keys wait on this node."""
    from ganeti_kernel.operations import crypto_files as files

    name = master.read_ssconf(paths, "cluster_name") or ""
    makers: list[tuple[Any, str, Callable[[], bool]]] = [
        (given["new_cluster"], "authority", lambda: files.new_authority(paths, name)),
        (given["new_hmac"], "confd key", lambda: files.new_hmac_key(paths)),
        (given["new_secret"], "domain secret", lambda: files.new_domain_secret(paths)),
        (given["new_rapi"], "RAPI certificate", lambda: files.new_rapi(paths, name)),
        (given["new_spice"], "SPICE certificate", lambda: files.new_spice(paths, name)),
        (
            given["domain_secret"],
            "domain secret",
            lambda: files.given_domain_secret(paths, given["domain_secret"]),
        ),
        (
            given["rapi_certificate"],
            "RAPI certificate",
            lambda: files.given_rapi(paths, given["rapi_certificate"]),
        ),
        (
            given["spice_certificate"],
            "SPICE certificate",
            lambda: files.given_spice(paths, given["spice_certificate"], given["spice_ca"]),
        ),
    ]
    for wanted, what, make in makers:
        if wanted and not make():
            click.echo(f"* going on with the {what} of a renewal that was begun before")
