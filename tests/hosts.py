"""Several hosts on this machine, to launch real clusters on: `python tests/hosts.py N -- COMMAND`.

Each host is a process with namespaces of its own: host name (`node1`, `node2`, ...), network
(10.77.0.11, 10.77.0.12, ... on one bridge), processes, `/tmp`, `/run`, `/dev/shm` and home. It
runs an sshd. COMMAND runs beside them, as on the laptop that they are reached from (10.77.0.1): it
has a key for them, and a home and a `/tmp` of its own. `/srv` is one folder that all share, and so
is the rest of the machine. All is gone when COMMAND ends, with every process.

It needs root, `unshare`, `ip` and `sshd`, and touches nothing outside its namespaces.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
NAMESPACES = ("--mount", "--net", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
HOME = Path("/home/root")
INSIDE = "GANSEARCH_HOSTS"


def missing() -> str | None:
    """Return what this machine lacks to have hosts, or None."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "needs root"
    for tool in ("unshare", "ip", "ssh", "ssh-keygen"):
        if shutil.which(tool) is None:
            return f"needs {tool}"
    if SSHD is None:
        return "needs sshd"
    tried = subprocess.run(["unshare", "--mount", "--net", "true"], capture_output=True, text=True)
    return f"namespaces are forbidden: {tried.stderr.strip()}" if tried.returncode else None


def address(i: int) -> str:
    """Return the address of host `i`, from 1."""
    return f"10.77.0.{10 + i}"


def run(*command: str) -> None:
    subprocess.run(command, check=True)


def private(*folders: str) -> None:
    """Hide what lies in folders behind empty ones of this mount namespace."""
    for folder in folders:
        run("mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", folder)


def host(i: int) -> None:
    """Be host `i`: wait for the cable, then serve ssh."""
    run("hostname", f"node{i}")
    private("/tmp", "/run", "/dev/shm", "/home")
    Path("/run/sshd").mkdir(mode=0o755)
    (HOME / ".ssh").mkdir(mode=0o700, parents=True)
    shutil.copy("/srv/.hosts/key.pub", HOME / ".ssh" / "authorized_keys")
    (HOME / ".bashrc").touch()
    while subprocess.run(["ip", "link", "show", "eth0"], capture_output=True).returncode:
        time.sleep(0.05)
    run("ip", "link", "set", "lo", "up")
    run("ip", "addr", "add", f"{address(i)}/24", "dev", "eth0")
    run("ip", "link", "set", "eth0", "up")
    run("ip", "route", "add", "default", "via", "10.77.0.1")
    options = {
        "HostKey": "/srv/.hosts/hostkey",
        "PidFile": "none",
        "UsePAM": "no",
        "StrictModes": "no",
        "PermitRootLogin": "yes",
        "MaxStartups": "100",
    }
    sshd = [f"{SSHD}", "-D", "-e", "-f", "/dev/null"]
    for key, value in options.items():
        sshd += ["-o", f"{key}={value}"]
    os.execv(sshd[0], sshd)


def laptop(n_hosts: int, command: list[str]) -> int:
    """Set up the network, the keys and the hosts; return the exit code of a command beside them."""
    private("/tmp", "/run", "/dev/shm", "/home", "/srv")
    keys, ssh = Path("/srv/.hosts"), HOME / ".ssh"
    for folder in (keys, ssh):
        folder.mkdir(mode=0o700, parents=True)
    # The Python that the tests run with may lie in root's real home, which thus can't be hidden.
    passwd = Path("/etc/passwd").read_text()
    (keys / "passwd").write_text(passwd.replace(f":{Path('~root').expanduser()}:", f":{HOME}:", 1))
    run("mount", "--bind", str(keys / "passwd"), "/etc/passwd")
    os.environ["HOME"] = str(HOME)
    for key in (keys / "hostkey", ssh / "id_ed25519"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    shutil.copy(ssh / "id_ed25519.pub", keys / "key.pub")
    (ssh / "config").write_text(
        "StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\n"
    )
    names = "".join(f"{address(i)} node{i}\n" for i in range(1, n_hosts + 1))
    (keys / "hosts").write_text(f"127.0.0.1 localhost\n10.77.0.1 laptop\n{names}")
    run("mount", "--bind", str(keys / "hosts"), "/etc/hosts")
    run("hostname", "laptop")
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "hosts", "type", "bridge")
    run("ip", "addr", "add", "10.77.0.1/24", "dev", "hosts")
    run("ip", "link", "set", "hosts", "up")
    for i in range(1, n_hosts + 1):
        _start_host(i)
    return subprocess.run(command, check=False).returncode


def _start_host(i: int) -> None:
    log = Path(f"/srv/.hosts/node{i}.log").open("w")  # noqa: SIM115  # the host keeps it
    process = subprocess.Popen(
        ["unshare", *NAMESPACES, sys.executable, __file__, str(i)],
        env=os.environ | {INSIDE: "host"},
        stdout=log,
        stderr=log,
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not (child := children.read_text().split()):
        if process.poll() is not None:
            sys.exit(f"node{i} did not start: {Path(log.name).read_text()}")
        time.sleep(0.02)
    run("ip", "link", "add", f"to{i}", "type", "veth", "peer", "name", f"from{i}")
    run("ip", "link", "set", f"to{i}", "master", "hosts", "up")
    run("ip", "link", "set", f"from{i}", "netns", child[0], "name", "eth0")
    while subprocess.run(["ssh", f"node{i}", "true"], capture_output=True).returncode:
        if process.poll() is not None:
            sys.exit(f"node{i} did not start: {Path(log.name).read_text()}")
        time.sleep(0.1)


def main() -> None:
    role = os.environ.pop(INSIDE, None)
    if role == "host":
        host(int(sys.argv[1]))
    n_hosts, dashes, *command = sys.argv[1:]
    if dashes != "--" or not command:
        sys.exit(__doc__)
    if role == "laptop":
        sys.exit(laptop(int(n_hosts), command))
    if why := missing():
        sys.exit(why)
    os.environ[INSIDE] = "laptop"
    os.execvp("unshare", ["unshare", *NAMESPACES, sys.executable, *sys.argv])


if __name__ == "__main__":
    main()
