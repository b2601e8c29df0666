"""Certificates and keys of a deployment: one authority, the server's certificate, a key for each client's node.

fl-tiprdc deploy certificates keys --host superlink.example.org --nodes 3

keys/ca.pem goes to everybody; server.pem and server.key stay with the server; node-0 goes to the first client's node,
and nobody else gets it; node-0.pub stays with the server. ca.key is needed for further certificates only: put it away.
"""

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fl_tiprdc.command_line.parser import Parser
from fl_tiprdc.errors import InputError

CA, CA_KEY, SERVER, SERVER_KEY = "ca.pem", "ca.key", "server.pem", "server.key"
LOOPBACK = ("localhost", "127.0.0.1")
DAYS = 365


def node_key(folder: Path, node: int | str) -> Path:
    """Return the file of a node's private key; the public one is beside it, with .pub at the end."""
    return folder / f"node-{node}"


def _write_private(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    path.touch(0o600)
    path.write_bytes(data)


def _pem(key: ec.EllipticCurvePrivateKey, form: serialization.PrivateFormat) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _certificate(
    name: str, issuer: str, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    now = datetime.now(UTC) - timedelta(days=1)  # clocks differ
    return (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )


def _address(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def make_certificates(folder: Path, hosts: Sequence[str], days: int = DAYS) -> None:
    """Make an authority, and a server certificate that it has signed.

    Args:
        folder: gets the files.
        hosts: names and addresses under which clients reach the server.
        days: how long they are valid.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    authority, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    name = "fl-tiprdc authority"
    usage = dict.fromkeys(
        ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
    )
    usage |= {"key_cert_sign": True, "crl_sign": True, "encipher_only": False, "decipher_only": False}
    root = (
        _certificate(name, name, authority, authority, days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .sign(authority, hashes.SHA256())
    )
    leaf = (
        _certificate(hosts[0], name, server, authority, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([_address(host) for host in hosts]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(authority, hashes.SHA256())
    )
    for file, certificate in ((CA, root), (SERVER, leaf)):
        (folder / file).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    for file, key in ((CA_KEY, authority), (SERVER_KEY, server)):
        _write_private(folder / file, _pem(key, serialization.PrivateFormat.PKCS8))


def make_node_key(folder: Path, node: int | str) -> Path:
    """Make a node's pair of keys, in the form that Flower wants; the private one's path."""
    key, path = ec.generate_private_key(ec.SECP384R1()), node_key(folder, node)
    _write_private(path, _pem(key, serialization.PrivateFormat.OpenSSH))
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    path.with_suffix(".pub").write_bytes(public + b"\n")
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, make, say what is there."""
    parser = Parser(__doc__ or "")
    parser.add_argument("folder", type=Path, help="gets the files")
    parser.add_argument("--host", action="append", help="the server's name or address; may be repeated (default: here)")
    parser.add_argument("--nodes", type=int, default=3, help="number of clients (default: %(default)s)")
    parser.add_argument("--days", type=int, default=DAYS, help="how long certificates last (default: %(default)s)")
    parsed = parser.parse_args(arguments)
    if parsed.nodes < 1 or parsed.days < 1:
        raise InputError("--nodes and --days are 1 or more")
    if (parsed.folder / CA_KEY).exists():
        raise InputError(f"'{parsed.folder}' has an authority already: name another folder")
    make_certificates(parsed.folder, [*(parsed.host or ()), *LOOPBACK], parsed.days)
    for node in range(parsed.nodes):
        make_node_key(parsed.folder, node)
    print(f"{parsed.folder}: {CA}, {SERVER}, {parsed.nodes} nodes' keys")
