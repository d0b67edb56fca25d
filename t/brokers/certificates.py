"""A throw-away certification authority with a certificate for localhost."""

from __future__ import annotations

import subprocess
from pathlib import Path

HOSTS = 'subjectAltName=DNS:localhost,IP:127.0.0.1\n'


def make_certificates(folder: Path) -> dict[str, str]:
    """Make an authority, and certificates for a server (localhost, 127.0.0.1) and a client.

    Returns:
        Paths of PEM files: `ca`, `server`, `server_key`, `client`, `client_key`, and `stranger`, an
        authority that signed none of the others.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def openssl(*arguments: str) -> None:
        subprocess.run(['openssl', *arguments], cwd=folder, check=True, capture_output=True)

    for authority in ('ca', 'stranger'):
        openssl(
            *('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '30'),
            *(
                '-keyout',
                f'{authority}.key',
                '-out',
                f'{authority}.pem',
                '-subj',
                f'/CN=test {authority}',
            ),
            *('-addext', 'basicConstraints=critical,CA:true'),
            *('-addext', 'keyUsage=critical,keyCertSign,cRLSign'),
        )
    (folder / 'hosts').write_text(HOSTS)
    for name, subject in (('server', 'localhost'), ('client', 'client')):
        openssl(
            *('req', '-newkey', 'rsa:2048', '-nodes', '-subj', f'/CN={subject}'),
            *('-keyout', f'{name}.key', '-out', f'{name}.csr'),
        )
        openssl(
            *('x509', '-req', '-in', f'{name}.csr', '-out', f'{name}.pem', '-days', '30'),
            *('-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-extfile', 'hosts'),
        )
    parts = {
        'ca': 'ca.pem',
        'server': 'server.pem',
        'server_key': 'server.key',
        'client': 'client.pem',
        'client_key': 'client.key',
        'stranger': 'stranger.pem',
    }
    return {name: str(folder / file) for name, file in parts.items()}
