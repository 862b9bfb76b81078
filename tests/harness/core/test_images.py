"""Names of images: versions, tags, digests, registries."""

import re

import pytest

from harness.core import images

DIGEST = f"sha256:{'0123456789abcdef' * 4}"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("13.0.0", "13.0.0"),
        ("v1.32.2", "1.32.2"),
        ("17.0.0-alpha.1", "17.0.0-alpha.1"),
        ("13.0.0-dev", "13.0.0-dev"),
        ("13", None),
        ("13.0", None),
        ("v", None),
        ("vv1.2.3", None),
        ("1.2.3.4", None),
        ("x:1.2.3", None),
        ("1.2.3+x", None),  # of which no tag can be made
        ("1.2.3/", None),
        ("1.2.3\n", None),
        ("", None),
    ],
)
def test_a_version_is_three_numbers(text: str, number: str | None) -> None:
    assert images.version(text) == number


def test_versions_stand_for_official_images() -> None:
    repository = "public.ecr.aws/gravitational/teleport-distroless"
    assert images.teleport_image("v13.0.0") == images.agent_image("13.0.0") == f"{repository}:13.0.0"
    assert images.node_image("1.32.2") == images.node_image("v1.32.2") == "kindest/node:v1.32.2"


@pytest.mark.parametrize(
    ("name", "repository", "tag", "registry"),
    [
        ("teleport:1", "teleport", "1", "docker.io"),
        ("gravitational/teleport-ent:13.0.0", "gravitational/teleport-ent", "13.0.0", "docker.io"),
        ("public.ecr.aws/a/b:v1", "public.ecr.aws/a/b", "v1", "public.ecr.aws"),
        ("localhost/a:v1", "localhost/a", "v1", "localhost"),
        ("localhost:5000/a:v1", "localhost:5000/a", "v1", "localhost:5000"),
        ("registry:5000/a/b_c/d--e:1_2", "registry:5000/a/b_c/d--e", "1_2", "registry:5000"),
        ("Mirror.Example.COM:80/a:latest", "Mirror.Example.COM:80/a", "latest", "Mirror.Example.COM:80"),
        (f"kindest/node:v1.32.2@{DIGEST}", "kindest/node", "v1.32.2", "docker.io"),
        (f"kindest/node@{DIGEST}", "kindest/node", None, "docker.io"),
    ],
)
def test_a_pinned_image_is_taken_as_it_is(name: str, repository: str, tag: str | None, registry: str) -> None:
    assert images.is_pinned(name)
    assert images.teleport_image(name) == images.node_image(name) == name
    assert images.split(name) == (repository, tag)
    assert images.registry(name) == registry


@pytest.mark.parametrize(
    "text",
    [
        *("teleport", "gravitational/teleport", "public.ecr.aws/a/b", "localhost:5000/a"),
        *("/usr/bin", "./bin", "../bin:1", "~/bin", "bin/", "a//b:1", "A/b:1", "a b:1", "a:", "a:b:c", ":1"),
        *("a@sha256:12", f"a@{DIGEST}0", "https://registry.example.com/a:1", "a:1\n"),
    ],
)
def test_what_could_be_any_version_or_is_no_image_is_refused(text: str) -> None:
    assert not images.is_pinned(text)
    for image in (images.teleport_image, images.node_image, images.agent_image):
        with pytest.raises(ValueError, match=re.escape(text)):
            image(text)


def test_the_chart_takes_no_digest() -> None:
    with pytest.raises(ValueError, match="sha256"):
        images.agent_image(f"teleport:13.0.0@{DIGEST}")


@pytest.mark.parametrize("text", ["/a", "A:1"])
def test_what_is_no_name_has_no_parts(text: str) -> None:
    for part in (images.split, images.registry):
        with pytest.raises(ValueError, match=re.escape(text)):
            part(text)
