"""Real launches of the cluster files, on hosts made of namespaces (see `hosts.py`)."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path
from shutil import which

import pytest
import yaml

from tests import hosts

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(900),
    pytest.mark.skipif(hosts.missing() is not None, reason=f"hosts: {hosts.missing()}"),
    pytest.mark.skipif(find_spec("aiohttp") is None, reason="needs pip install '.[cluster]'"),
]
TOP = Path(__file__).parents[2]
SMALL = "--space digits --trials 6 --max-updates 300 --top 1 --replicas 1 --quiet"


def on_hosts(n_hosts, script, **files):
    """Run a bash script on the laptop beside hosts; return what its parts, `== name`, printed.

    Args:
        files: texts that the script finds as /tmp/<name>.
    """
    put = "".join(f'printf %s "${name}" > /tmp/{name}\n' for name in files)
    done = subprocess.run(
        [
            sys.executable,
            hosts.__file__,
            str(n_hosts),
            "--",
            "bash",
            "-c",
            f"set -e\n{put}{script}",
        ],
        env=os.environ | files | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        cwd=TOP,
        capture_output=True,
        text=True,
        timeout=880,
    )
    print(done.stdout, done.stderr)  # pytest shows them where the test fails
    assert done.returncode == 0
    parts = done.stdout.split("\n== ")[1:]
    return {name: text for name, _, text in (part.partition("\n") for part in parts)}


def test_own_machines_become_a_cluster_that_searches_and_refuses_who_lacks_the_token():
    config = yaml.safe_load((TOP / "deploy/local.yaml").read_text())
    config["provider"] |= {"head_ip": hosts.address(1), "worker_ips": [hosts.address(2)]}
    config["auth"] = {"ssh_user": "root", "ssh_private_key": "~/.ssh/id_ed25519"}
    said = on_hosts(
        2,
        f"""
        ray get-auth-token --generate
        # The machines have installed before; the rest of the file is run as it is.
        for host in node1 node2; do ssh $host mkdir gansearch; done
        for host in node1 node2; do ssh $host ln -s {sys.prefix} gansearch/.venv; done
        remote() {{ ray exec /tmp/config "$1" 2>&1; }}

        printf '\\n== up\\n'; date +%s
        ray up -y /tmp/config
        printf '\\n== doctor\\n'
        until remote 'gansearch doctor --address auto --results /srv/results' > /tmp/doctor
              grep -q ': 2 nodes' /tmp/doctor; do sleep 2; done
        cat /tmp/doctor; date +%s

        printf '\\n== run\\n'
        remote 'gansearch run {SMALL} --address auto --results /srv/results --name exec'
        gansearch report exec --results /srv/results
        printf '\\n== nodes\\n'
        remote 'RAY_AUTH_MODE=token ray list actors --detail --format json > /srv/actors'
        grep -o '"node_id": "[0-9a-f]*"' /srv/actors | sort -u | wc -l

        printf '\\n== private\\n'
        remote 'gansearch run {SMALL} --address auto --results /tmp/mine --name no; echo rc $?'

        printf '\\n== job\\n'
        ssh -fN -L 8265:127.0.0.1:8265 node1
        export RAY_AUTH_MODE=token RAY_API_SERVER_ADDRESS=http://127.0.0.1:8265
        ray job submit --working-dir . -- \\
            gansearch run {SMALL} --address auto --results /srv/results --name job 2>&1
        gansearch report job --results /srv/results

        printf '\\n== refused\\n'
        ssh node1 'rm ~/.ray/auth_token'
        remote 'gansearch run --address {hosts.address(1)}:6379 --results /srv/results; echo rc $?'
        api=/api/jobs/
        curl -s -o /dev/null -w 'without %{{http_code}}\\n' http://127.0.0.1:8265$api
        curl -s -o /dev/null -w 'with %{{http_code}}\\n' http://127.0.0.1:8265$api \\
            -H "Authorization: Bearer $(cat ~/.ray/auth_token)"
        curl -s -o /dev/null -w 'past ssh %{{http_code}}\\n' http://node1:8265$api || true

        printf '\\n== down\\n'
        ray down -y /tmp/config
        ssh node1 'pgrep raylet || echo stopped'
        until ssh node2 '! pgrep raylet'; do sleep 1; done
        """,
        config=yaml.safe_dump(config),
    )
    assert said["doctor"].count("node 10.77.0.1") == 2
    assert "problem" not in said["doctor"]
    assert "exec: finished" in said["run"]
    assert said["nodes"].split()[-1] == "2"
    assert "it does not see /tmp/mine" in said["private"]
    assert "rc 2" in said["private"]
    assert "job: finished" in said["job"]
    assert (
        "no Ray cluster accepted the connection (it asks for a token; we have none)"
        in said["refused"]
    )
    assert "InvalidAuthToken" not in said["refused"]
    assert "rc 2" in said["refused"]
    assert "without 401\nwith 200\npast ssh 000" in said["refused"]
    assert "stopped" in said["down"]


SLURM = """
    ClusterName=hosts
    SlurmctldHost=laptop
    SlurmUser=root
    SlurmdUser=root
    AuthType=auth/munge
    StateSaveLocation=/tmp
    SlurmdSpoolDir=/tmp
    SlurmctldPidFile=/run/slurmctld.pid
    SlurmdPidFile=/run/slurmd.pid
    SlurmctldLogFile=/srv/slurmctld.log
    SlurmdLogFile=/srv/slurmd-%n.log
    ProctrackType=proctrack/linuxproc
    TaskPlugin=task/none
    JobAcctGatherType=jobacct_gather/none
    SelectType=select/cons_tres
    NodeName=node[1-2] CPUs=2 RealMemory=4000
    PartitionName=all Nodes=ALL Default=YES
"""


@pytest.mark.skipif(which("slurmctld", path="/usr/sbin") is None, reason="needs Slurm and munge")
def test_a_slurm_job_saves_before_its_time_limit_queues_again_and_goes_on_to_the_end():
    said = on_hosts(
        2,
        f"""
        head -c 1024 /dev/urandom > /srv/munge.key; chmod 400 /srv/munge.key
        cp /tmp/slurm /srv/slurm.conf
        export SLURM_CONF=/srv/slurm.conf PATH=$PATH:/usr/sbin
        munge='mkdir -p /run/munge; munged --key-file /srv/munge.key --force'
        eval "$munge"; slurmctld
        for host in node1 node2; do ssh $host "$munge; SLURM_CONF=$SLURM_CONF slurmd"; done

        grep -v gpus-per-node deploy/slurm.sbatch > /tmp/slurm.sbatch
        export RESULTS=/srv/results GANSEARCH_VENV={Path(sys.executable).parent} NAME=job
        id=$(sbatch --parsable --time=4 --signal=B:TERM@150 --chdir=/srv --output=/srv/out \\
            /tmp/slurm.sbatch --space digits --trials 12 --top 1 --replicas 1 --quiet)
        until squeue -h -o %r | grep -q BeginTime; do sleep 1; done
        printf '\\n== saved\\n'
        grep -h '"state"' $RESULTS/job/run.json
        # Slurm would hold it for two minutes, and its second part may take as long as it takes.
        scontrol update JobId=$id TimeLimit=30 StartTime=now
        while [ -n "$(squeue -h)" ]; do sleep 1; done
        printf '\\n== job\\n'
        grep -e '^Running command' -e '^Stopped; ' /srv/out
        printf '\\n== out\\n'
        tail -n 30 /srv/out
        printf '\\n== report\\n'
        gansearch report job --results $RESULTS
        """,
        slurm=textwrap.dedent(SLURM),
    )
    assert '"interrupted"' in said["saved"]
    first, stopped, second = said["job"].split("\n")[:3]
    assert "'gansearch', 'run', '--results', '/srv/results', '--name', 'job'" in first
    assert stopped.startswith("Stopped; everything reported is kept.")
    assert "'gansearch', 'resume', '/srv/results/job'" in second
    assert "job: finished" in said["report"]
    assert "Search: 12 of 12 configurations tried" in said["report"]
