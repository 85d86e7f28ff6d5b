"""inventories/example_aws against moto's server: systems come by their tags, sick ones too, with what the roles need."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import typing as t

import boto3
import pytest

from tests.lab.postgresql.server import free_port
from tests.lab.state import PROJECT, end_process, wait_until

REGION = "eu-central-1"
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": REGION}
BIN = pathlib.Path(sys.executable).parent


@pytest.fixture
def environment(tmp_path: pathlib.Path) -> t.Iterator[dict[str, str]]:
    """An account at moto's server."""
    port = free_port()
    log = tmp_path / "moto.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=output, stderr=output
        )
    try:
        wait_until(lambda: "Running on" in log.read_text(), 20, "the start of moto's server")
        yield {
            **os.environ,
            **KEYS,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
        }
    finally:
        end_process(server.pid)
        server.wait()


def client(environment: dict[str, str], service: str) -> t.Any:
    return boto3.client(service, region_name=REGION, endpoint_url=environment["AWS_ENDPOINT_URL"],
                        aws_access_key_id="testing", aws_secret_access_key="testing")  # fmt: skip


def tags(**values: str) -> list[dict[str, str]]:
    return [{"Key": name, "Value": value} for name, value in values.items()]


def populate(environment: dict[str, str]) -> None:
    rds, ec2 = client(environment, "rds"), client(environment, "ec2")
    marked = tags(role="database", database="custody_db")
    for name, marks in (("prod-db", marked), ("untagged", []), ("prod-db-of-a-stranger", marked)):
        rds.create_db_instance(
            DBInstanceIdentifier=name, Engine="postgres", DBInstanceClass="db.t3.micro", MasterUsername="a",
            MasterUserPassword="not-a-secret", AllocatedStorage=10, Port=5433, Tags=marks,
        )  # fmt: skip
    image = ec2.describe_images()["Images"][0]["ImageId"]
    edge = tags(
        Name="public-api",
        role="edge",
        health_urls="https://api.example.org/health https://api.example.org/keys https://evil.example.net/",
    )
    ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, TagSpecifications=[{"ResourceType": "instance", "Tags": edge}])
    stopped = ec2.run_instances(
        ImageId=image, MinCount=1, MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags(Name="own-db", role="database", database="ledger")}],
    )["Instances"][0]["InstanceId"]  # fmt: skip
    for strange in (tags(Name="evil-db", role="database"), tags(Name="public-api", role="none")):
        ec2.run_instances(
            ImageId=image, MinCount=1, MaxCount=1, TagSpecifications=[{"ResourceType": "instance", "Tags": strange}]
        )
    ec2.stop_instances(InstanceIds=[stopped])


def plain(value: t.Any) -> t.Any:
    """A value without the mark that ansible-inventory gives what came from outside."""
    if isinstance(value, dict) and set(value) == {"__ansible_unsafe"}:
        return value["__ansible_unsafe"]
    return [plain(one) for one in value] if isinstance(value, list) else value


def test_systems_come_by_their_tags(environment: dict[str, str]) -> None:
    populate(environment)
    command = [str(BIN / "ansible-inventory"), "-i", "inventories/example_aws", "--list"]
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert [name.partition("_")[0] for name in sorted(told["role_database"]["hosts"])] == ["own-db", "prod-db"]
    (edge,) = told["role_edge"]["hosts"]
    namesakes = [name for name in told["_meta"]["hostvars"] if name.startswith("public-api_i-")]
    assert edge in namesakes
    assert len(namesakes) == 2, "an instance of the same name became the same host"
    variables = told["_meta"]["hostvars"]
    database = {name: plain(value) for name, value in variables["prod-db"].items()}
    assert (database["runbooks_db_port"], database["runbooks_db_name"]) == (5433, "custody_db")
    assert database["runbooks_db_host"].startswith("prod-db.")
    assert database["runbooks_db_monitor_user"] == "runbooks_monitor"
    assert plain(variables[edge]["runbooks_health_urls"]) == [
        "https://api.example.org/health",
        "https://api.example.org/keys",
    ]
