"""The offline provider for Docker on a real daemon."""

from __future__ import annotations

import base64
import io
import secrets
import tarfile
import threading
from collections.abc import Iterator
from typing import Any

import docker
import pytest
from docker.errors import NotFound
from google.protobuf import empty_pb2

from offline.providers.docker import PROVIDER, Container, Network, RemoteImage, Volume
from offline.tests.provider_host import (
    Deploy,
    Deployed,
    OperationError,
    ProviderHost,
    deploying,
    hosting,
)

SLEEP = {"entrypoints": ["sleep"], "command": ["600"]}
HEALTHY = {"tests": ["CMD", "true"], "interval": "1s"}


@pytest.fixture(scope="module")
def host(docker_client: docker.DockerClient) -> Iterator[ProviderHost]:
    with hosting(PROVIDER) as started:
        yield started


@pytest.fixture
def name() -> str:
    return f"podium-test-{secrets.token_hex(4)}"


@pytest.fixture
def deploy(host: ProviderHost) -> Iterator[Deploy]:
    """Creates resources that are deleted after the test."""
    with deploying(host) as create:
        yield create


@pytest.fixture
def network(deploy: Deploy, name: str) -> Deployed:
    return deploy(Network, name=name, driver="bridge", labels=[{"label": "a", "value": "b"}])


@pytest.fixture
def volume(deploy: Deploy, name: str) -> Deployed:
    return deploy(Volume, name=name, driver="local", labels=[{"label": "a", "value": "b"}])


def inspect(client: docker.DockerClient, container: Deployed) -> dict[str, Any]:
    return dict(client.api.inspect_container(container.id))


def test_network(host: ProviderHost, docker_client: docker.DockerClient, network: Deployed) -> None:
    attributes = docker_client.networks.get(network.id).attrs
    assert (attributes["Driver"], attributes["Labels"]) == ("bridge", {"a": "b"})
    assert network.outputs["ipamConfigs"][0]["subnet"]
    assert host.diff(network, network.inputs).changes == {}
    refreshed = host.refresh(network)
    assert refreshed and refreshed.outputs == network.outputs
    host.delete(network)
    assert host.refresh(network) is None
    with pytest.raises(NotFound):
        docker_client.networks.get(network.id)


def test_second_network_of_that_name_is_refused(deploy: Deploy, network: Deployed) -> None:
    name = network.outputs["name"]
    with pytest.raises(
        OperationError, match=f"Unable to create network {name}: .*already exists"
    ) as failed:
        deploy(Network, name=name)
    assert failed.value.kept is None


def test_volume(host: ProviderHost, docker_client: docker.DockerClient, volume: Deployed) -> None:
    assert volume.id == volume.outputs["name"]
    attributes = docker_client.volumes.get(volume.id).attrs
    assert (attributes["Driver"], attributes["Labels"]) == ("local", {"a": "b"})
    assert attributes["Mountpoint"] == volume.outputs["mountpoint"]
    assert host.diff(volume, volume.inputs).changes == {}
    host.delete(volume)
    assert host.refresh(volume) is None


def test_local_image_needs_no_registry(
    host: ProviderHost, docker_client: docker.DockerClient, deploy: Deploy, postgres_image: str
) -> None:
    image = deploy(RemoteImage, name=postgres_image, keepLocally=True)
    assert image.outputs["imageId"] == docker_client.images.get(postgres_image).id
    assert image.id == image.outputs["imageId"] + postgres_image
    assert host.diff(image, image.inputs).changes == {}
    host.delete(image)
    assert docker_client.images.get(postgres_image)


def test_image_that_is_not_kept_loses_its_tag_and_a_retag_shows_on_refresh(
    host: ProviderHost,
    docker_client: docker.DockerClient,
    deploy: Deploy,
    postgres_image: str,
    name: str,
) -> None:
    tag = f"{name}:1"
    original = docker_client.images.get(postgres_image)
    original.tag(name, "1")
    image = deploy(RemoteImage, name=tag)
    other, _ = docker_client.images.build(
        fileobj=io.BytesIO(f"FROM {postgres_image}\nLABEL a=b".encode()), tag=tag, rm=True
    )
    assert host.diff(image, image.inputs).changes == {}
    refreshed = host.refresh(image)
    assert refreshed and refreshed.outputs["imageId"] == other.id
    host.delete(refreshed)
    assert host.refresh(refreshed) is None


def test_missing_image_passes_preview_and_fails_with_the_error_of_the_pull(
    host: ProviderHost, deploy: Deploy
) -> None:
    inputs = {"name": "localhost:1/podium/nothing:1"}
    host.preview(RemoteImage.token, inputs)
    with pytest.raises(
        OperationError, match=r"unable to pull image localhost:1/podium/nothing:1: .*refused"
    ):
        deploy(RemoteImage, **inputs)


def test_container(
    host: ProviderHost,
    docker_client: docker.DockerClient,
    deploy: Deploy,
    network: Deployed,
    volume: Deployed,
    postgres_image: str,
    name: str,
) -> None:
    image_id = docker_client.images.get(postgres_image).id
    container = deploy(
        Container,
        name=name,
        image=image_id,
        envs=["A=1", "B=x=y"],
        user="postgres",
        networksAdvanced=[{"name": network.outputs["name"], "aliases": ["db", "database"]}],
        ports=[{"internal": 80, "ip": "127.0.0.1"}],
        volumes=[{"containerPath": "/data", "volumeName": volume.id, "readOnly": True}],
        uploads=[
            {"file": "/etc/podium/text", "content": "grüße\n", "permissions": "0600"},
            {
                "file": "/usr/local/bin/hello",
                "contentBase64": base64.b64encode(b"#!/bin/sh\necho hello\n").decode(),
                "executable": True,
            },
        ],
        labels=[{"label": "podium", "value": "test"}],
        memory=64,
        memorySwap=128,
        shmSize=96,
        cpus="1.5",
        capabilities={"adds": ["CAP_KILL", "CAP_CHOWN"], "drops": ["ALL"]},
        securityOpts=["no-new-privileges:true"],
        tmpfs={"/scratch": ""},
        restart="unless-stopped",
        logDriver="json-file",
        logOpts={"max-size": "1m"},
        stopSignal="SIGINT",
        stopTimeout=7,
        healthcheck=HEALTHY | {"retries": 3, "startPeriod": "1m30s", "timeout": "500ms"},
        wait=True,
        waitTimeout=30,
        **SLEEP,
    )
    found = inspect(docker_client, container)
    config, host_config = found["Config"], found["HostConfig"]
    assert found["State"]["Health"]["Status"] == "healthy"
    assert {"A=1", "B=x=y"} <= set(config["Env"])
    assert (config["Entrypoint"], config["Cmd"]) == (["sleep"], ["600"])
    assert config["Labels"]["podium"] == "test"
    assert (config["User"], config["StopSignal"], config["StopTimeout"]) == (
        "postgres",
        "SIGINT",
        7,
    )
    assert config["Healthcheck"]["StartPeriod"] == 90_000_000_000
    assert (host_config["Memory"], host_config["MemorySwap"], host_config["ShmSize"]) == (
        64 << 20,
        128 << 20,
        96 << 20,
    )
    assert (host_config["NanoCpus"], host_config["Tmpfs"]) == (1_500_000_000, {"/scratch": ""})
    assert (set(host_config["CapAdd"]), host_config["CapDrop"]) == (
        {"CAP_CHOWN", "CAP_KILL"},
        ["ALL"],
    )
    assert host_config["SecurityOpt"] == ["no-new-privileges:true"]
    assert host_config["RestartPolicy"]["Name"] == "unless-stopped"
    assert host_config["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "1m"}}
    assert host_config["Binds"] == [f"{volume.id}:/data:ro"]
    networks = found["NetworkSettings"]["Networks"]
    assert list(networks) == [network.outputs["name"]]
    assert {"db", "database"} <= set(networks[network.outputs["name"]]["Aliases"])
    (port,) = container.outputs["ports"]
    assert (port["internal"], port["ip"], port["protocol"]) == (80, "127.0.0.1", "tcp")
    assert port["external"] > 0
    running = docker_client.containers.get(container.id)
    assert uploaded(docker_client, container, "/etc/podium/text") == ("grüße\n".encode(), 0o600)
    assert uploaded(docker_client, container, "/usr/local/bin/hello")[1] == 0o744
    assert running.exec_run("hello", user="root").output == b"hello\n"

    assert host.diff(container, container.inputs).changes == {}
    refreshed = host.refresh(container)
    assert refreshed and host.diff(refreshed, container.inputs).changes == {}

    host.delete(container)
    assert host.refresh(container) is None


def uploaded(client: docker.DockerClient, container: Deployed, path: str) -> tuple[bytes, int]:
    """The content and mode of a file in a container."""
    stream, _ = client.containers.get(container.id).get_archive(path)
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
        (member,) = archive.getmembers()
        file = archive.extractfile(member)
        assert file
        return file.read(), member.mode & 0o777


@pytest.mark.parametrize(
    ("name_of_property", "value"),
    [
        ("cpus", "2"),
        ("capabilities", {"adds": ["CAP_CHOWN"], "drops": ["ALL"]}),
    ],
)
def test_other_limits_need_another_container(
    host: ProviderHost,
    deploy: Deploy,
    postgres_image: str,
    name: str,
    name_of_property: str,
    value: object,
) -> None:
    inputs = {"name": name, "image": postgres_image, "memory": 64, "memorySwap": 128, **SLEEP}
    container = deploy(Container, **inputs)
    limited = inputs | {name_of_property: value}
    assert host.diff(container, limited).replaces
    replaced = host.refresh(container)
    assert replaced and host.diff(replaced, inputs).changes == {}


def test_image_of_a_container_by_name_and_by_digest(
    host: ProviderHost,
    docker_client: docker.DockerClient,
    deploy: Deploy,
    postgres_image: str,
    name: str,
) -> None:
    inputs = {"name": name, "image": postgres_image, **SLEEP}
    container = deploy(Container, **inputs)
    assert host.diff(container, inputs).changes == {}
    by_id = inputs | {"image": docker_client.images.get(postgres_image).id}
    assert host.diff(container, by_id).replaces == ("image",)


def test_updates_in_place(
    host: ProviderHost,
    docker_client: docker.DockerClient,
    deploy: Deploy,
    postgres_image: str,
    name: str,
) -> None:
    inputs = {"name": name, "image": postgres_image, "memory": 64, "memorySwap": 64, **SLEEP}
    container = deploy(Container, **inputs)
    changed = inputs | {"memory": 96, "memorySwap": 192, "restart": "on-failure"}
    assert host.diff(container, changed).replaces == ()
    updated = host.update(container, changed | {"maxRetryCount": 2})
    found = inspect(docker_client, updated)
    assert found["HostConfig"]["Memory"] == 96 << 20
    assert found["HostConfig"]["MemorySwap"] == 192 << 20
    assert found["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 2}
    assert host.diff(updated, changed | {"maxRetryCount": 2}).changes == {}


def test_memory_without_swap_shows_what_docker_makes_of_it(
    host: ProviderHost, deploy: Deploy, postgres_image: str, name: str
) -> None:
    inputs = {"name": name, "image": postgres_image, "memory": 64, **SLEEP}
    container = deploy(Container, **inputs)
    assert host.diff(container, inputs).changes == {"memorySwap": "DELETE"}


def test_stopped_container_with_ports_is_replaced_after_a_refresh(
    host: ProviderHost,
    docker_client: docker.DockerClient,
    deploy: Deploy,
    postgres_image: str,
    name: str,
) -> None:
    inputs = {
        "name": name,
        "image": postgres_image,
        "ports": [{"internal": 80, "ip": "127.0.0.1"}],
        **SLEEP,
    }
    container = deploy(Container, **inputs)
    docker_client.containers.get(container.id).kill()
    assert host.diff(container, inputs).changes == {}
    refreshed = host.refresh(container)
    assert refreshed
    found = host.diff(refreshed, inputs)
    assert found.replaces == ("ports",)
    assert found.delete_before_replace
    assert found.changes["mustRun"] == "ADD"


def test_stopped_container_without_ports_is_started_again(
    host: ProviderHost,
    docker_client: docker.DockerClient,
    deploy: Deploy,
    postgres_image: str,
    name: str,
) -> None:
    inputs = {"name": name, "image": postgres_image, **SLEEP}
    container = deploy(Container, **inputs)
    docker_client.containers.get(container.id).kill()
    refreshed = host.refresh(container)
    assert refreshed and refreshed.outputs["exitCode"] == 137
    assert host.diff(refreshed, inputs).changes == {"mustRun": "ADD"}
    host.update(refreshed, inputs)
    assert inspect(docker_client, container)["State"]["Running"]


def test_container_that_does_not_become_healthy_is_kept_in_the_state(
    docker_client: docker.DockerClient, deploy: Deploy, postgres_image: str, name: str
) -> None:
    with pytest.raises(OperationError) as failed:
        deploy(
            Container,
            name=name,
            image=postgres_image,
            healthcheck={"tests": ["CMD-SHELL", "echo not yet; false"], "interval": "1s"},
            wait=True,
            waitTimeout=3,
            **SLEEP,
        )
    assert str(failed.value) == (
        f"container {name} failed to be in healthy state within 3 seconds "
        f"(last health check: not yet); see docker logs {name}"
    )
    assert failed.value.kept
    assert inspect(docker_client, failed.value.kept)["Name"] == f"/{name}"


def test_waiting_goes_on_when_the_user_cancels(
    docker_client: docker.DockerClient,
    deploy: Deploy,
    host: ProviderHost,
    postgres_image: str,
    name: str,
) -> None:
    timer = threading.Timer(1, host.stub.Cancel, [empty_pb2.Empty()])
    timer.start()
    container = deploy(
        Container,
        name=name,
        image=postgres_image,
        entrypoints=["bash", "-c"],
        command=["sleep 3; touch /tmp/up; sleep 60"],
        healthcheck={"tests": ["CMD", "test", "-e", "/tmp/up"], "interval": "1s"},
        wait=True,
    )
    timer.join()
    assert inspect(docker_client, container)["State"]["Health"]["Status"] == "healthy"


def test_waiting_needs_a_health_check(deploy: Deploy, postgres_image: str, name: str) -> None:
    with pytest.raises(OperationError, match="has `wait` but no health check"):
        deploy(Container, name=name, image=postgres_image, wait=True, **SLEEP)


def test_port_that_is_taken_is_named(
    docker_client: docker.DockerClient,
    deploy: Deploy,
    host: ProviderHost,
    postgres_image: str,
    name: str,
) -> None:
    ports = [{"internal": 80, "ip": "127.0.0.1"}]
    first = deploy(Container, name=name, image=postgres_image, ports=ports, **SLEEP)
    taken = [ports[0] | {"external": first.outputs["ports"][0]["external"]}]
    with pytest.raises(OperationError, match="port is already allocated") as failed:
        deploy(Container, name=f"{name}-2", image=postgres_image, ports=taken, **SLEEP)
    assert failed.value.kept
    assert inspect(docker_client, failed.value.kept)["State"]["Status"] == "created"
    # Once the port is free, `up` replaces the container: an update would leave it as it is.
    assert host.diff(failed.value.kept, failed.value.kept.inputs).replaces


def test_container_of_a_missing_image_leaves_nothing(
    docker_client: docker.DockerClient, deploy: Deploy, name: str
) -> None:
    with pytest.raises(OperationError, match="unable to pull image localhost:1/none") as failed:
        deploy(Container, name=name, image="localhost:1/none:1")
    assert failed.value.kept is None
    with pytest.raises(NotFound):
        docker_client.containers.get(name)


@pytest.mark.parametrize(
    ("upload", "reason"),
    [
        ({"file": "/f"}, "got none"),
        ({"file": "/f", "content": "a", "source": "b"}, "got content, source"),
        ({"file": "/f", "contentBase64": "?"}, "upload /f: "),
        ({"file": "/f", "source": "/no/such/file"}, "No such file"),
    ],
)
def test_bad_uploads(
    deploy: Deploy, postgres_image: str, name: str, upload: dict[str, str], reason: str
) -> None:
    with pytest.raises(OperationError, match=reason):
        deploy(Container, name=name, image=postgres_image, uploads=[upload], **SLEEP)


def test_container_that_runs_to_its_end(deploy: Deploy, postgres_image: str, name: str) -> None:
    container = deploy(
        Container,
        name=name,
        image=postgres_image,
        entrypoints=["sh", "-c"],
        command=["echo out; echo err >&2; exit 3"],
        attach=True,
        logs=True,
        mustRun=False,
    )
    assert set(container.outputs["containerLogs"].split()) == {"out", "err"}
    assert container.outputs["exitCode"] == 3


def test_container_has_time_to_stop(
    host: ProviderHost,
    docker_client: docker.DockerClient,
    deploy: Deploy,
    volume: Deployed,
    postgres_image: str,
    name: str,
) -> None:
    mounts = [{"type": "volume", "source": volume.id, "target": "/data"}]
    container = deploy(
        Container,
        name=name,
        image=postgres_image,
        entrypoints=["bash", "-c"],
        command=[
            "trap 'sleep 1; echo bye > /data/bye; exit' TERM; touch /data/up; sleep 60 & wait"
        ],
        stopSignal="SIGTERM",
        healthcheck={"tests": ["CMD", "test", "-e", "/data/up"], "interval": "1s"},
        wait=True,
        mounts=mounts,
        destroyGraceSeconds=10,
    )
    host.delete(container)
    output = docker_client.containers.run(
        postgres_image,
        ["/data/bye"],
        entrypoint="cat",
        remove=True,
        volumes=[f"{volume.id}:/data:ro"],
    )
    assert output == b"bye\n"


def test_network_and_volume_that_are_still_in_use_are_waited_for(
    host: ProviderHost,
    deploy: Deploy,
    network: Deployed,
    volume: Deployed,
    postgres_image: str,
    name: str,
) -> None:
    container = deploy(
        Container,
        name=name,
        image=postgres_image,
        networksAdvanced=[{"name": network.outputs["name"]}],
        volumes=[{"containerPath": "/data", "volumeName": volume.id}],
        **SLEEP,
    )
    removal = threading.Timer(1.5, host.delete, [container])
    removal.start()
    host.delete(network)
    host.delete(volume)
    removal.join()
    assert host.refresh(network) is None
    assert host.refresh(volume) is None
