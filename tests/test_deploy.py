"""The files that start clusters: against Ray's own schema, and what a submitted job uploads."""

from __future__ import annotations

import logging
import subprocess
import zipfile
from pathlib import Path

import pytest
import yaml

TOP = Path(__file__).parents[1]
RAY_UP = ("cluster.yaml", "deploy/local.yaml")


def prepared(name):
    """Return a cluster file as `ray up` completes it, once Ray has found it valid."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(yaml.safe_load((TOP / name).read_text()))
    validate_config(config)
    return config


@pytest.mark.parametrize("name", RAY_UP)
def test_a_cluster_file_is_valid_for_ray(name):
    config = prepared(name)
    assert config["head_node_type"] in config["available_node_types"]


@pytest.mark.parametrize("name", RAY_UP)
def test_ray_asks_for_a_token_on_every_node_and_shows_its_dashboard_to_the_head_only(name):
    config = prepared(name)
    head, worker = config["head_start_ray_commands"][-1], config["worker_start_ray_commands"][-1]
    for command in (head, worker):
        assert "RAY_AUTH_MODE=token ray start " in command
    assert "--dashboard-host=127.0.0.1" in head
    assert any(path.endswith("/.ray/auth_token") for path in config["file_mounts"])


@pytest.mark.parametrize("name", RAY_UP)
def test_nodes_install_the_tested_versions(name):
    setup = " ".join(prepared(name)["setup_commands"])
    assert "pip install --constraint constraints.txt" in setup
    assert "[cluster]" in setup


def test_a_submitted_job_uploads_the_code_and_nothing_else(tmp_path):
    from ray._private.runtime_env.packaging import create_package

    checkout = tmp_path / "checkout"
    for name in tracked():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_bytes((TOP / name).read_bytes())
    for name in (".git/index", ".venv/lib/torch.so", "results/mine/trials.parquet", "data/mnist"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_bytes(b"x" * 2**20)
    package = tmp_path / "package.zip"
    logger = logging.getLogger("silent")
    create_package(str(checkout), package, include_gitignore=True, logger=logger)
    with zipfile.ZipFile(package) as file:
        names = {name for name in file.namelist() if not name.endswith("/")}
    code = {n for n in tracked() if n.startswith(("gansearch/", "search_spaces/"))}
    assert code <= names
    assert [name for name in names - code if "/" in name] == []  # at the top: README and its like
    assert package.stat().st_size < 2**22


def tracked():
    listed = subprocess.run(["git", "ls-files"], cwd=TOP, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("needs a git checkout")
    return [name for name in listed.stdout.splitlines() if (TOP / name).is_file()]


def test_aws_pays_for_gpus_only_while_there_is_work_and_lets_no_head_be_taken_away():
    config = prepared("cluster.yaml")
    head = config["available_node_types"][config["head_node_type"]]
    worker = config["available_node_types"]["worker"]
    assert "InstanceMarketOptions" not in head["node_config"]
    assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert worker["min_workers"] == 0
    assert 0 < worker["max_workers"] <= config["max_workers"]


def test_every_image_has_the_ray_of_the_constraints():
    constraints = (TOP / "constraints.txt").read_text().splitlines()
    version = next(line.split("==")[1] for line in constraints if line.startswith("ray=="))
    image = f"rayproject/ray:{version}-py311-gpu"
    assert prepared("cluster.yaml")["docker"]["image"] == image
    assert f"FROM {image}\n" in (TOP / "deploy/Dockerfile").read_text()
    job, _ = yaml.safe_load_all((TOP / "deploy/kuberay-rayjob.yaml").read_text())
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == version


def test_the_ray_job_asks_for_a_token_and_keeps_its_results_when_its_cluster_is_gone():
    job, claim = yaml.safe_load_all((TOP / "deploy/kuberay-rayjob.yaml").read_text())
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token", "secretName": "gansearch-token"}
    assert cluster["autoscalerOptions"]["version"] == "v2"  # that gansearch knows to grow
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert container["volumeMounts"] == [{"name": "shared", "mountPath": "/shared"}]
        assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_the_batch_script_is_bash_and_leaves_time_to_save():
    script = TOP / "deploy/slurm.sbatch"
    assert subprocess.run(["bash", "-n", script]).returncode == 0
    assert "#SBATCH --signal=B:TERM@300 " in script.read_text()
    assert "#SBATCH --requeue\n" in script.read_text()
    assert "(umask 077; ray get-auth-token --generate)" in script.read_text()
